"""The same run again and again, with and without XLA's deterministic operations: equal bits, and at what cost?

A run that is interrupted in one process and goes on in another has to end with those bits, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.device.document import Document

if TYPE_CHECKING:  # the process that asks needs no JAX
    from convnet.run import Trainer

FLAGS = {
    "deterministic": "",  # as the library compiles unless these flags say otherwise
    "as XLA comes": "--xla_gpu_deterministic_ops=false",
    "deterministic, by the clock": "--xla_gpu_exclude_nondeterministic_ops=true",
}
"""By the clock: algorithms are chosen by trying them, in each process anew."""
REPEATABLE, *_ = FLAGS
"""The kind whose interrupted run has to come to the bits of one that is not."""
RUNS = 4
INTERRUPTED = "interrupted"


def measure(document: Document) -> None:
    """A process of each kind by itself, whose seconds count; then one more of each, all at the same time."""
    kinds = (REPEATABLE,) if document.tiny else tuple(FLAGS)
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            if not document.left:
                document.cut(kind)
                continue
            document.add([{"kind": kind, "alone": True, **_answer(_started(kind, document, folder), document)}])
        if not document.left:
            document.cut("each once more, at the same time")
            return
        again = {kind: _started(kind, document, folder) for kind in kinds}
        document.add([{"kind": kind, "alone": False, **_answer(process, document)} for kind, process in again.items()])


def _started(kind: str, document: Document, folder: str) -> subprocess.Popen:
    """folder: where the first process of the kind leaves an interrupted run, and the second finds it."""
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {FLAGS[kind]}".strip()}
    command = [sys.executable, "-m", "benchmarks.device.determinism", *(["--tiny"] if document.tiny else [])]
    command += [folder] if kind == REPEATABLE else []
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen, document: Document) -> dict[str, Any]:
    try:
        output, _ = process.communicate(timeout=max(document.left, 20.0))
    except subprocess.TimeoutExpired:
        process.kill()
        return {"gap": "no time"}
    if process.returncode:
        return {"gap": f"ended with code {process.returncode}"}
    return json.loads(output.splitlines()[-1])


def runs(folder: Path | None, *, tiny: bool) -> dict[str, Any]:
    """Digests of the parameters that equal runs of one config end with, and the seconds they took.

    folder: as `interruption` says; None: nothing is interrupted.
    """
    from benchmarks.replicates import CASES, IMAGES, dataset_of
    from convnet.architectures import Linear
    from convnet.record import parameter_hash
    from convnet.run import Trainer

    config = CASES["like-mnist"].config
    if tiny:
        config = replace(config, model=Linear(), train=replace(config.train, batch_size=64))
    trainer = Trainer(config, dataset_of("like-mnist", 200 if tiny else IMAGES))
    digests, seconds = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = trainer.run()
        seconds.append(time.perf_counter() - start)
        digests.append(parameter_hash(result.variables)[:16])
    found = {"digests": digests, "seconds": seconds, "compile_seconds": trainer.compile_seconds}
    return found if folder is None else found | {"interruption": interruption(trainer, folder)}


def interruption(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """The first process leaves an interrupted run in `folder`, and tells a digest of all epochs of one that is not:
    `whole`. The second one goes on there, and tells that digest of the run that was interrupted: `resumed`."""
    from benchmarks.device.resume import interrupt, lines_of
    from convnet.record import metrics_hash, read_metrics

    place = folder / INTERRUPTED
    if not place.exists():
        interrupt(trainer, place, 1)
        return {"whole": metrics_hash(lines_of(trainer, folder / "whole"))[:16]}
    stopped_after = len(read_metrics(place))
    try:
        trainer.run(directory=place, resume=True)
    except Exception as error:  # whatever it is, the digests above stand
        return {"failed": f"{type(error).__name__}: {error}"[:500]}
    return {"resumed": metrics_hash(read_metrics(place))[:16], "stopped_after": stopped_after}


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:] if argument != "--tiny"]
    print(json.dumps(runs(*folders[:1] or [None], tiny="--tiny" in sys.argv[1:])))

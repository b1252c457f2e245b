"""The same run again and again, with and without XLA's deterministic operations: equal bits, and at what cost?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.device.document import Document

FLAGS = {
    "deterministic": "",  # as the library compiles unless these flags say otherwise
    "as XLA comes": "--xla_gpu_deterministic_ops=false",
    "deterministic, by the clock": "--xla_gpu_exclude_nondeterministic_ops=true",
}
"""By the clock: algorithms are chosen by trying them, in each process anew."""
RUNS = 4


def measure(document: Document) -> None:
    """A process of each kind by itself, whose seconds count; then one more of each, all at the same time."""
    for kind in tuple(FLAGS)[:1] if document.tiny else FLAGS:
        if not document.left:
            document.cut(kind)
            continue
        document.add([{"kind": kind, "alone": True, **_answer(_started(kind, document), document)}])
    if document.tiny or not document.left:
        return
    again = {kind: _started(kind, document) for kind in FLAGS}
    document.add([{"kind": kind, "alone": False, **_answer(process, document)} for kind, process in again.items()])


def _started(kind: str, document: Document) -> subprocess.Popen:
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {FLAGS[kind]}".strip()}
    command = [sys.executable, "-m", "benchmarks.device.determinism", *(["tiny"] if document.tiny else [])]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen, document: Document) -> dict[str, Any]:
    try:
        output, _ = process.communicate(timeout=max(document.left, 20.0))
    except subprocess.TimeoutExpired:
        process.kill()
        return {"gap": "no time"}
    return {"gap": f"ended with code {process.returncode}"} if process.returncode else json.loads(output)


def runs(*, tiny: bool) -> dict[str, Any]:
    """Digests of the parameters that equal runs of one config end with, and the seconds they took."""
    from benchmarks.replicates import CASES, IMAGES, dataset_of
    from convnet.architectures import Linear
    from convnet.record import parameter_hash
    from convnet.run import Trainer

    config = CASES["like-mnist"].config
    if tiny:
        config = replace(config, model=Linear(), train=replace(config.train, epochs=1, batch_size=64))
    trainer = Trainer(config, dataset_of("like-mnist", 200 if tiny else IMAGES))
    digests, seconds = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = trainer.run()
        seconds.append(time.perf_counter() - start)
        digests.append(parameter_hash(result.variables)[:16])
    return {"digests": digests, "seconds": seconds, "compile_seconds": trainer.compile_seconds}


if __name__ == "__main__":
    print(json.dumps(runs(tiny="tiny" in sys.argv[1:])))

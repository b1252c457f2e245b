"""The same run again and again, with and without XLA's deterministic operations: equal bits, and at what cost?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.device.document import Document

FLAGS = {"default": "", "deterministic": "--xla_gpu_deterministic_ops=true"}
RUNS, PROCESSES = 3, 2


def measure(document: Document) -> None:
    """Two processes of each kind, since algorithms are chosen anew in each; three runs in each process."""
    for number in range(1 if document.tiny else PROCESSES):
        for kind, flags in FLAGS.items():
            if not document.left:
                document.cut(f"{kind}, process {number + 1}")
                continue
            environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
            command = [sys.executable, "-m", "benchmarks.device.determinism", *(["tiny"] if document.tiny else [])]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=max(document.left, 20.0)
            )
            print(done.stderr[-2000:], flush=True)
            found = {"gap": f"ended with code {done.returncode}"} if done.returncode else json.loads(done.stdout)
            document.add([{"kind": kind, "process": number + 1, **found}])


def runs(*, tiny: bool) -> dict[str, Any]:
    """Digests of the parameters that equal runs of one config end with, and the seconds they took."""
    import jax
    import numpy as np

    from benchmarks.replicates import CASES, IMAGES, dataset_of
    from convnet.run import Trainer

    config = CASES["like-mnist"].config
    config = replace(config, train=replace(config.train, epochs=1, batch_size=64)) if tiny else config
    trainer = Trainer(config, dataset_of("like-mnist", 200 if tiny else IMAGES))
    digests, seconds = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = trainer.run()
        seconds.append(time.perf_counter() - start)
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(result.variables):
            digest.update(np.asarray(leaf).tobytes())
        digests.append(digest.hexdigest()[:16])
    return {"digests": digests, "seconds": seconds, "compile_seconds": trainer.compile_seconds}


if __name__ == "__main__":
    print(json.dumps(runs(tiny="tiny" in sys.argv[1:])))

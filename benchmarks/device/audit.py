"""Are the gradients right here? Every op's first case at level quick: float64 entry by entry, float32 and bfloat16."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures import TimeoutError as OutOfTime
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmarks.device.document import Document
from convnet.threads import processors

TINY_OPS = ("relu",)
PROCESSES = 12
"""At most: each holds a context of the device."""


def audit(op: str) -> dict[str, Any]:
    """The verdict on one op, in a process whose products of float32 are exact (`measure` sees to that)."""
    import jax

    from convnet.gradcheck import suite

    report = suite.audit_case(op, 0, level="quick")
    return {"op": op, "device": jax.devices()[0].device_kind, **report.to_dict()}


def measure(document: Document) -> None:
    from convnet.gradcheck.evidence import EVIDENCE

    ops = TINY_OPS if document.tiny else tuple(EVIDENCE)
    # Read by the processes that are started below. The referee bounds float32 by its own roundings, not by those of
    # the shorter factors that an accelerator multiplies unless it is told not to.
    os.environ |= {"JAX_DEFAULT_MATMUL_PRECISION": "float32", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    context = multiprocessing.get_context("spawn")
    workers = min(PROCESSES, processors(), len(ops))
    with ProcessPoolExecutor(workers, context) as pool:
        waiting = {pool.submit(audit, op): op for op in ops}
        try:
            for future in as_completed(waiting, timeout=max(document.left, 0.1)):
                op = waiting.pop(future)
                print(f"audited {op}", flush=True)
                try:
                    document.add([future.result()])
                except BrokenProcessPool:  # of one that died, with all that wait: nobody has judged these
                    document.cut(op)
                except Exception as error:  # an op that a device cannot compute is a result, too
                    document.add([{"op": op, "passed": False, "error": f"{type(error).__name__}: {error}"[:500]}])
        except OutOfTime:
            for op in waiting.values():
                document.cut(op)
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.kill()

"""Each op, forward, dL/dx and dL/dw, beside autodiff and torch; in float32 too where there is time in the end."""

from __future__ import annotations

from benchmarks.cases import LAYERS, PRECISIONS, QUICK_LAYERS, GemmTask, tasks_of
from benchmarks.device.document import Document
from benchmarks.device.peers import asked, team

PEERS = ("ours", "autodiff", "torch")
TINY_PEERS = ("ours",)
BATCH, TINY_BATCH = 512, 4
GEMM, TINY_GEMM = 8192, 64
FIRST = ("conv3-64-64-at-32", "conv3-256-256-at-8", "conv3-3-64-at-32", "conv3-64-128-at-32-stride2")
"""These tell most; the others follow in their order."""


def measure(document: Document) -> None:
    layers = QUICK_LAYERS if document.tiny else LAYERS
    order = [name for name in FIRST if name in layers] + [name for name in layers if name not in FIRST]
    batch, size = (TINY_BATCH, TINY_GEMM) if document.tiny else (BATCH, GEMM)
    with team(document, TINY_PEERS if document.tiny else PEERS) as workers:
        products = [GemmTask(size, precision) for precision in reversed(PRECISIONS)]
        document.facts["gemm"] += asked(document, "matrix product", products, workers)
        for precisions in (("bfloat16", "tf32"), ("float32",)):
            for name in order:
                if not document.left:
                    document.cut(f"{layers[name].label}, {' and '.join(precisions)}")
                    continue
                for precision in precisions:
                    tasks = tasks_of(layers[name], "once", batch=batch, precision=precision, repeats=1)
                    document.add(asked(document, layers[name].label, tasks, workers))

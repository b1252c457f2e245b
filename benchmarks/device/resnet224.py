"""Whole training steps of ResNet-18 on images of 224 pixels a side, as `steps` times smaller networks."""

from __future__ import annotations

from benchmarks.cases import GemmTask
from benchmarks.device.document import Document
from benchmarks.device.ops import GEMM, TINY_GEMM
from benchmarks.device.peers import asked, team
from benchmarks.device.steps import Plan, measure_plan
from benchmarks.networks import QUICK_NETWORKS
from benchmarks.parallel import RESNET18

PLAN = Plan((RESNET18,), ("bfloat16",), 256, 8)
TINY = Plan((QUICK_NETWORKS["tiny_cnn"],), ("bfloat16",), 4, 2, peers=("ours",))


def measure(document: Document) -> None:
    plan, size = (TINY, TINY_GEMM) if document.tiny else (PLAN, GEMM)
    with team(document, plan.peers) as workers:
        products = [GemmTask(size, precision) for precision in plan.precisions]
        first = plan.peers[0]
        document.facts["gemm"] += asked(document, "matrix product", products, {first: workers[first]})
        document.store()
        measure_plan(document, plan, workers)

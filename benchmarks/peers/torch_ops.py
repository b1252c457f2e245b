"""Single ops in torch: the forward pass, and each gradient alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from benchmarks.cases import PRECISIONS, ConvLayer, GemmTask, OpTask, PoolLayer, draw
from benchmarks.peers.program import Program


def precisely(precision: str, program: Program) -> Program:
    """`program`, run so that products are as exact as a precision of the table says."""

    def run(calls: int) -> float | None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
        return program.run(calls)

    return replace(program, run=run)


def op_program(task: OpTask, memory_format: torch.memory_format, device: str) -> Program:
    layer = task.layer

    def drawn(letter: str, shape: tuple[int, ...]) -> torch.Tensor:
        values = torch.from_numpy(draw(letter, shape)).to(device)
        return values.to(getattr(torch, PRECISIONS[task.precision]), memory_format=memory_format)

    def nchw(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], shape[3], shape[1], shape[2]

    x, g = drawn("x", nchw(layer.image_shape(task.batch))), drawn("g", nchw(layer.output_shape(task.batch)))
    if isinstance(layer, PoolLayer):
        return precisely(task.precision, Program(_caller(_pool(layer, task.direction, x, g))))
    kh, kw, c, k = layer.kernel_shape()
    return precisely(task.precision, Program(_caller(_conv(layer, task.direction, x, drawn("w", (k, c, kh, kw)), g))))


def _conv(layer: ConvLayer, direction: str, x, w, g) -> Callable[[], torch.Tensor]:
    stride, padding = [layer.stride] * 2, [layer.padding] * 2
    if direction == "fwd":
        return torch.no_grad()(lambda: functional.conv2d(x, w, None, stride, padding, groups=layer.groups))
    wanted = [direction == "dx", direction == "dw", False]

    def gradient() -> torch.Tensor:
        found = torch.ops.aten.convolution_backward(
            g, x, w, None, stride, padding, [1, 1], False, [0, 0], layer.groups, wanted
        )
        return found[wanted.index(True)]

    return gradient


def _pool(layer: PoolLayer, direction: str, x, g) -> Callable[[], torch.Tensor]:
    if direction == "fwd":
        return torch.no_grad()(lambda: functional.max_pool2d(x, layer.window, layer.stride))
    x.requires_grad_()
    return lambda: torch.autograd.grad(functional.max_pool2d(x, layer.window, layer.stride), x, g)[0]


def gemm_program(task: GemmTask, device: str) -> Program:
    a, b = torch.randn(2, task.size, task.size, dtype=getattr(torch, PRECISIONS[task.precision]), device=device)
    return precisely(task.precision, Program(_caller(lambda: a @ b)))


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _caller(op: Callable[[], torch.Tensor]) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            op()
        synchronize()

    return run

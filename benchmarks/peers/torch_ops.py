"""Single ops in torch: the forward pass, and each gradient alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from benchmarks.cases import ConvLayer, GemmTask, OpTask, PoolLayer
from benchmarks.peers.program import Program


def op_program(task: OpTask, memory_format: torch.memory_format, device: str) -> Program:
    rng, layer = np.random.default_rng(0), task.layer

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        values = torch.from_numpy(rng.standard_normal(shape, np.float32))
        return values.to(device, getattr(torch, task.dtype), memory_format=memory_format)

    def nchw(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], shape[3], shape[1], shape[2]

    x, g = draw(nchw(layer.image_shape(task.batch))), draw(nchw(layer.output_shape(task.batch)))
    if isinstance(layer, PoolLayer):
        return Program(_caller(_pool(layer, task.direction, x, g)))
    kh, kw, c, k = layer.kernel_shape()
    return Program(_caller(_conv(layer, task.direction, x, draw((k, c, kh, kw)), g)))


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
        return torch.no_grad()(lambda: functional.max_pool2d(x, layer.window))
    x.requires_grad_()
    return lambda: torch.autograd.grad(functional.max_pool2d(x, layer.window), x, g)[0]


def gemm_program(task: GemmTask, device: str) -> Program:
    a, b = torch.randn(2, task.size, task.size, dtype=getattr(torch, task.dtype), device=device)
    return Program(_caller(lambda: a @ b))


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _caller(op: Callable[[], torch.Tensor]) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            op()
        synchronize()

    return run

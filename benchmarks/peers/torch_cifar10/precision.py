"""What a machine is faster in: not every processor multiplies bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.torch_cifar10.settings import Settings

TRIALS = 3
CHANNELS, SIDE, IMAGES = 32, 16, 8
"""Of a layer in a trial; its product is of matrices [CHANNELS, 9 · CHANNELS], as one of Newton and Schulz's."""


def settled(settings: Settings) -> Settings:
    """`settings` where each "fastest" is what was faster in a trial on its device: float32, or bfloat16 (of layers:
    autocast)."""
    changes = {}
    if settings.precision == "fastest":
        changes["precision"] = "autocast" if _half_is_faster(_layer, settings.device) else "float32"
    if settings.iteration_precision == "fastest":
        changes["iteration_precision"] = "bfloat16" if _half_is_faster(_product, settings.device) else "float32"
    return replace(settings, **changes)


def _half_is_faster(compute: Callable[[str, torch.dtype], Callable[[], Tensor]], device: str) -> bool:
    half, full = (_seconds(compute(device, dtype), device) for dtype in (torch.bfloat16, torch.float32))
    return half < full


def _layer(device: str, dtype: torch.dtype) -> Callable[[], Tensor]:
    images = torch.ones(IMAGES, CHANNELS, SIDE, SIDE, dtype=dtype, device=device)
    kernels = torch.ones(CHANNELS, CHANNELS, 3, 3, dtype=dtype, device=device)
    images, kernels = (x.contiguous(memory_format=torch.channels_last) for x in (images, kernels))
    return lambda: functional.conv2d(images, kernels, padding=1)


def _product(device: str, dtype: torch.dtype) -> Callable[[], Tensor]:
    matrix = torch.ones(CHANNELS, 9 * CHANNELS, dtype=dtype, device=device)
    return lambda: matrix @ matrix.T


def _seconds(compute: Callable[[], Tensor], device: str) -> float:
    """The least of some trials, after a first one."""

    def once() -> float:
        start = perf_counter()
        compute()
        if device == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    once()
    return min(once() for _ in range(TRIALS))

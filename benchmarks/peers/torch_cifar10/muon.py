"""Muon: momentum whose matrices are made nearly orthogonal before they are subtracted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def newton_schulz(matrix: Tensor, iterations: int, coefficients: Sequence[float], dtype: torch.dtype) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1, computed in `dtype`."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    X = (matrix.T if tall else matrix).to(dtype)
    X = X / (X.norm() + 1e-7)
    for _ in range(iterations):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if tall else X


class Muon:
    """For kernels [outputs, …]. orthogonal: what becomes of the momentum as a matrix [outputs, inputs].

    A step also brings each kernel back to the norm √outputs, before it is changed.
    """

    def __init__(self, kernels: Sequence[Tensor], *, momentum: float, orthogonal: Callable[[Tensor], Tensor]):
        self._kernels, self._momentum, self._orthogonal = list(kernels), momentum, orthogonal
        self._moments = [torch.zeros_like(kernel) for kernel in self._kernels]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for kernel, moment in zip(self._kernels, self._moments, strict=True):
            moment.mul_(self._momentum).add_(kernel.grad)
            wanted = kernel.grad.add(moment, alpha=self._momentum)
            update = self._orthogonal(wanted.flatten(1)).reshape(kernel.shape)
            kernel.mul_(math.sqrt(len(kernel)) / torch.linalg.vector_norm(kernel, dtype=torch.float32))
            kernel.sub_(update, alpha=rate)

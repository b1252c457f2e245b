"""Convolutions one after the other are one convolution."""

from __future__ import annotations

from jax import Array

from convnet import HAND


def composed_kernel(first: Array, second: Array, *, stride: int = 1) -> Array:
    """The kernel of the one convolution that does what `first` and then `second` do where nothing is padded:
    [KH + (KH2 − 1)·stride, …, C, K].

    first: [KH, KW, C, M], applied in steps of `stride`; second: [KH2, KW2, M, K]. The steps of the one convolution are
    the product of both. It is the mathematician's convolution of the two kernels, the second with gaps as wide as the
    first one's steps (Dumoulin & Visin, arXiv:1603.07285).
    """
    padding = tuple((side - 1) * stride for side in second.shape[:2])
    whole = HAND.convolve2d(first.transpose(2, 0, 1, 3), second, padding=padding, dilation=stride)
    return whole.transpose(1, 2, 0, 3)

"""Local response normalisation, with a hand-derived gradient."""

from __future__ import annotations

from functools import partial
from math import prod

import jax
from jax import Array, lax

from convnet.ops.checks import real
from convnet.ops.norm import check_channels
from convnet.ops.pool import sum_windows_forward, sum_windows_p
from convnet.ops.precision import in_float32
from convnet.ops.window import Window


def _sum_channels(sum_windows, x: Array, size: int) -> Array:
    """W[x]: at channel c the sum over channels c − size//2 … c + (size − 1)//2, those that exist.

    Seen as images with a row for each place and a column for each channel it is a sum over windows of one row. Its
    transpose is the mirrored window, which for an even size is another one; `sum_windows` knows that.
    """
    n, *places, channels = x.shape
    rows = Window(size=prod(places), kernel=1)
    cols = Window(size=channels, kernel=size, lo=size // 2, hi=(size - 1) // 2)
    images = lax.expand_dims(x.reshape(n, prod(places), channels), (3,))  # two steps, as in `group_norm`
    return lax.squeeze(sum_windows(images, rows=rows, cols=cols), (3,)).reshape(x.shape)


def _respond_forward(sum_windows, x, size, k, alpha, beta):
    return x * (k + alpha / size * _sum_channels(sum_windows, x * x, size)) ** -beta


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _respond(x, size, k, alpha, beta):
    return _respond_forward(sum_windows_forward, x, size, k, alpha, beta)


@_respond.defjvp
def _respond_jvp(size, k, alpha, beta, primals, tangents):
    (x,), (dx,) = primals, tangents
    sum_channels = partial(_sum_channels, sum_windows_p.bind)
    s = k + alpha / size * sum_channels(x * x, size)
    power = s**-beta
    across = x * (power / s) * sum_channels(x * dx, size)
    return _respond(x, size, k, alpha, beta), power * dx - (2 * alpha * beta / size) * across


def _local_response_norm(respond, x, size, k, alpha, beta):
    check_channels(x)
    if not hasattr(size, "__index__") or isinstance(size, bool) or size < 1:
        raise ValueError(f"size is {size!r}: expected a positive number of channels")
    k, alpha, beta = real("k", k, above=0), real("alpha", alpha, least=0), real("beta", beta)
    return in_float32(lambda x: respond(x, int(size), k, alpha, beta), x)


def local_response_norm(x: Array, *, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> Array:
    """y = x s^−β with s = k + (α/n) W[x²], W[·] at channel c the sum over channels c − n//2 … c + (n − 1)//2, n = size.

    x: [N, …, C] -> as x. Channels that do not exist count 0. AlexNet's paper (Krizhevsky, Sutskever & Hinton, NIPS
    2012, section 3.3) has α without 1/n; Caffe and torch divide, as here: multiply the paper's α by n.

    Gradient: ds = (2α/n) W[x dx], so dy = s^−β dx − (2αβ/n) x s^(−β−1) W[x dx], and transposed
    dL/dx = s^−β g − (2αβ/n) x Wᵀ[g x s^(−β−1)]. Wᵀ is the mirrored window, c − (n − 1)//2 … c + n//2: the same for odd
    n, another one for even n. Every transform, any order.

    Raises ValueError for fewer than two axes, a size below 1, k ≤ 0, alpha < 0, and settings that are not finite.
    """
    return _local_response_norm(_respond, x, size, k, alpha, beta)


def local_response_norm_forward(x, *, size=5, k=2.0, alpha=1e-4, beta=0.75) -> Array:
    """`local_response_norm` without our gradient."""
    return _local_response_norm(partial(_respond_forward, sum_windows_forward), x, size, k, alpha, beta)


local_response_norm.forward = local_response_norm_forward

"""Initial weights by name.

A weight is [..., fan-in axis, fan-out axis], for a convolution [KH, KW, C // groups, K], so the fan-in counts every
input that a unit sees. Each entry takes one scale (a value, deviation, bound or gain) and gives
`init(key, shape, dtype) -> Array`. The distributions are JAX's; names and defaults are the field's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import initializers as jax_init

Initializer = Callable[..., Array]


def _scaled(distribution: Callable[[], Initializer]) -> Callable[[float], Initializer]:
    """A fan-based initialiser whose scale is a gain on its deviation."""
    return lambda gain: lambda key, shape, dtype=jnp.float32: gain * distribution()(key, shape, dtype)


def _uniform(bound: float) -> Initializer:
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def _dirac(gain: float) -> Initializer:
    """Input i goes to output i unchanged (times the gain): the identity, as far as the channels reach."""

    def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        del key
        centre = tuple((side - 1) // 2 for side in shape[:-2])
        return jnp.zeros(shape, dtype).at[centre].set(gain * jnp.eye(*shape[-2:], dtype=dtype))

    return init


def _partial_dirac(gain: float) -> Initializer:
    """The first outputs are the inputs (`_dirac`), as far as there are outputs; the weights of the others are uniform
    in ±1/√fan_in, as torch starts (Jordan, arXiv:2404.00498, section 3.2). All times the gain."""

    def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        rest = _uniform(1 / prod(shape[:-1]) ** 0.5)(key, shape, dtype)
        return gain * jnp.where(jnp.arange(shape[-1]) < shape[-2], _dirac(1.0)(key, shape, dtype), rest)

    return init


def whitening(moment: Array, kernel_shape: tuple[int, int, int], *, eps: float = 5e-4) -> Array:
    """Filters whose results on the data are uncorrelated, of deviation 1: v/√(λ + eps) for each eigenvector v and
    eigenvalue λ of the patches' second moment, and then the same with the sign changed, so that nothing is lost to a
    rectifier (Jordan, arXiv:2404.00498, section 3.1).

    moment: [D, D], the mean of pᵀp over patches p of `kernel_shape` = (KH, KW, C), D = KH·KW·C
    -> [KH, KW, C, 2D] float32, the directions of least variance last in each half.

    Raises ValueError for a moment of another shape.
    """
    if jnp.shape(moment) != (prod(kernel_shape),) * 2:
        raise ValueError(f"moment has shape {jnp.shape(moment)}: expected [D, D] with D = {prod(kernel_shape)}")
    variances, directions = jnp.linalg.eigh(jnp.asarray(moment, jnp.float32))
    filters = (directions * lax.rsqrt(variances + eps)[None])[:, ::-1]
    # An eigenvector's sign is arbitrary: of each, the one whose largest entry is positive.
    largest = jnp.take_along_axis(filters, jnp.argmax(jnp.abs(filters), axis=0)[None], axis=0)
    filters = filters * jnp.sign(largest)
    return jnp.concatenate([filters, -filters], axis=1).reshape(*kernel_shape, -1)


def patch_moment(images: Array, side: int) -> Array:
    """The mean of pᵀp over all patches p of side×side pixels, row by row and channel by channel: images [N, H, W, C]
    -> [D, D], D = side·side·C. (`Dataset.patch_moment` is the same by exact sums, on the host.)"""
    height, width = (extent - side + 1 for extent in images.shape[1:3])
    shifted = [images[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    patches = jnp.concatenate(shifted, axis=3).reshape(-1, side * side * images.shape[3])
    return patches.T @ patches / len(patches)


INITIALIZERS: dict[str, tuple[Callable[[float], Initializer], float]] = {
    "zeros": (lambda _: jax_init.zeros, 0.0),
    "constant": (jax_init.constant, 0.01),  # scale: the value
    "normal": (jax_init.normal, 0.01),  # scale: standard deviation
    "truncated_normal": (jax_init.truncated_normal, 0.01),  # scale: deviation before cutting at ±2
    "uniform": (_uniform, 0.05),  # scale: bound b of [−b, b]
    # scale of all below: a gain. Glorot & Bengio, AISTATS 2010: variance 2 / (fan_in + fan_out)
    "glorot_uniform": (_scaled(jax_init.glorot_uniform), 1.0),
    "glorot_normal": (_scaled(jax_init.glorot_normal), 1.0),
    # He et al., ICCV 2015: variance 2 / fan_in
    "he_uniform": (_scaled(jax_init.he_uniform), 1.0),
    "he_normal": (_scaled(jax_init.he_normal), 1.0),
    # LeCun et al., Efficient BackProp, 1998: variance 1 / fan_in
    "lecun_uniform": (_scaled(jax_init.lecun_uniform), 1.0),
    "lecun_normal": (_scaled(jax_init.lecun_normal), 1.0),
    "orthogonal": (jax_init.orthogonal, 1.0),  # Saxe et al., ICLR 2014
    "dirac": (_dirac, 1.0),
    "partial_dirac": (_partial_dirac, 1.0),
}


def build(name: str = "glorot_uniform", scale: float | None = None) -> Initializer:
    """The initialiser called `name`, with its usual scale unless another is given.

    Raises ValueError for an unknown name, listing the known ones.
    """
    if name not in INITIALIZERS:
        raise ValueError(f"initializer is {name!r}: expected one of {', '.join(INITIALIZERS)}")
    family, usual = INITIALIZERS[name]
    return family(usual if scale is None else scale)

"""What the choice of a formulation depends on, what a formulation is, and what a user may ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jax import Array

from convnet.ops.window import Window


@dataclass(frozen=True)
class Problem:
    """What a choice depends on: a convolution of n images with c and k channels, all groups together."""

    n: int
    c: int
    k: int
    rows: Window
    cols: Window
    groups: int
    paired: bool = False
    """Whether it is one of several of its kind, under vmap, each with images and kernels of its own."""

    @property
    def kernel(self) -> tuple[int, int]:
        return self.rows.kernel, self.cols.kernel

    @property
    def stride(self) -> int:
        return max(self.rows.stride, self.cols.stride)

    @property
    def dilation(self) -> int:
        return max(self.rows.dilation, self.cols.dilation)

    @property
    def forward(self) -> bool:
        """Whether images are as they are, not dilated: always so but for windows that describe a gradient."""
        return self.rows.input_dilation == self.cols.input_dilation == 1

    @property
    def narrow(self) -> int:
        """Channels on the side that has fewer."""
        return min(self.c, self.k)

    @property
    def divisible(self) -> bool:
        """Whether the batch can be worked off in chunks: not where its size is a symbol, as `jax.export` has them."""
        return isinstance(self.n, int)

    @property
    def sized(self) -> bool:
        """Whether every length but the batch's is a number."""
        return all(isinstance(length, int) for length in (self.c, self.k, self.places))

    @property
    def places(self) -> int:
        """Outputs of one image, per kernel."""
        return self.rows.output * self.cols.output

    @property
    def pixels(self) -> int:
        """Outputs of all images, per kernel; of one where nobody knows how many there will be."""
        return self.n * self.places if self.divisible else self.places


@dataclass(frozen=True)
class Formulation:
    """One way to compute a map: `compute(a, b, rows=, cols=, groups=)`."""

    name: str
    compute: Callable[..., Array]
    fits: Callable[[Problem], bool]
    """Whether it can compute the problem at all."""
    needs: str
    """The same in words."""
    pays: Callable[[Problem], bool] = field(default=lambda problem: True)
    """Whether it is the fastest that fits, those further up in the table apart."""
    vmapped: Callable[[Problem], bool] = field(default=lambda problem: False)
    """Whether pairs, as vmap makes them, are computed all at once rather than one after the other."""


@dataclass(frozen=True)
class Choice:
    """Formulations by name, one per map; None: what the table says for the platform and the problem."""

    correlate: str | None = None
    input_gradient: str | None = None
    kernel_gradient: str | None = None


TABLE = Choice()
"""Nothing is asked for."""

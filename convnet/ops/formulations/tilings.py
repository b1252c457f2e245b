"""One axis of Winograd's minimal filtering, and how kernels of any length and stride are made of it.

F(2, r) computes two neighbouring outputs of a filter w of r taps with r + 1 products instead of 2·r (Winograd,
"Arithmetic Complexity of Computations", 1980; Lavin & Gray, arXiv:1509.09308):

    y = Aᵀ [(G w) ⊙ (Bᵀ d)],    d: the r + 1 inputs that the two outputs read.

The r + 1 products belong to points at which polynomials are evaluated: 0, 1, −1 and ∞ for three taps; 0, 1 and ∞ for
two. A filter whose outer taps are 0 vanishes at some of them, and needs no product there.

Longer and strided kernels are several filters. In y[p] = Σ_i w[i] x[p·s + i], taps that are s apart form a filter of
stride 1 over every s-th element of x; three or fewer of them make one F(2, r). The filters' results add up, and since
all have the points in common, they are added there, before Aᵀ: in one longer matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from convnet.ops.window import Window

G = {  # by the number of taps
    1: np.ones((2, 1)),
    2: np.array([[1, 0], [1, 1], [0, 1]]),
    3: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
}
B_T = {  # Bᵀ, by the number of points
    2: np.eye(2),
    3: np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    4: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
}
A_T = {  # Aᵀ, by the number of points
    2: np.eye(2),
    3: np.array([[1, 1, 0], [0, 1, 1]]),
    4: np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
}
LONGEST = max(G)


@dataclass(frozen=True)
class Tiling:
    """How a window, of dilation 1, reads its input by filters; its outputs are in tiles of two."""

    kernels: np.ndarray
    """G of every filter, over the taps of the whole kernel: [points, filters, taps]."""
    firsts: tuple[int, ...]
    """Where the first tile that each filter reads begins, in the padded input."""
    step: int
    """From one input of a tile to the next."""
    tiles: int
    padding: tuple[int, int]
    output: int
    """Outputs that are wanted: the last tile may have one more."""

    @property
    def points(self) -> int:
        return len(self.kernels)

    @property
    def inputs(self) -> np.ndarray:
        """Bᵀ: [points, points]."""
        return B_T[self.points]

    @property
    def outputs(self) -> np.ndarray:
        """Aᵀ: [2, points]."""
        return A_T[self.points]

    @property
    def used(self) -> np.ndarray:
        """Whether a filter needs a product at a point: bool [points, filters]."""
        return self.kernels.any(axis=2)


def _filters(taps: range) -> list[range]:
    """`taps` in as few parts as filters can take."""
    count = -(-len(taps) // LONGEST)
    bounds = [len(taps) * i // count for i in range(count + 1)]
    return [taps[start:end] for start, end in pairwise(bounds)]


def tiling_of(window: Window) -> Tiling:
    """The tiles and filters of `window`, of dilation 1."""
    s = window.stride
    filters = [part for r in range(min(s, window.kernel)) for part in _filters(range(r, window.kernel, s))]
    longest = G[max(map(len, filters))]
    kernels = np.zeros((len(longest), len(filters), window.kernel))
    for i, taps in enumerate(filters):
        kernels[:, i, taps] = longest[:, : len(taps)]
    firsts, tiles = tuple(taps[0] for taps in filters), -(-window.output // 2)
    end = max(firsts) + s * (2 * (tiles - 1) + len(longest) - 1) + 1
    return Tiling(kernels, firsts, s, tiles, (window.lo, end - window.size - window.lo), window.output)


def products(window: Window) -> int:
    """Products along an axis of `window`, of dilation 1; half-empty last tiles need whole ones."""
    tiling = tiling_of(window)
    return int(tiling.used.sum()) * tiling.tiles

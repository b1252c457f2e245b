"""Random calls of an op, by `hypothesis`: valid by construction, and full of the corners where gradients go wrong.

Shapes and settings are drawn one by one, the simplest first, so that a failure shrinks to a small shape and plain
settings. Arrays come from a seed, so drawing them is fast; shrinking changes their numbers, never their kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from convnet.gradcheck.evidence.case import gaussian

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


class Draws:
    """What a strategy draws with: integers, choices, and a generator for arrays."""

    def __init__(self, draw: Callable):
        from hypothesis import strategies

        self._draw, self._strategies = draw, strategies

    def number(self, least: int, most: int) -> int:
        return self._draw(self._strategies.integers(least, most))

    def choice(self, *options):
        """One of the options, the first of which is the simplest."""
        return self._draw(self._strategies.sampled_from(options))

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.number(0, 2**32 - 1))

    def gaussians(self, *shapes: tuple[int, ...] | None) -> tuple:
        rng = self.rng()
        return tuple(None if shape is None else gaussian(rng, shape) for shape in shapes)

    def shape(self, *, least: int = 1, most: int = 4, axes: tuple[int, int] = (1, 4)) -> tuple[int, ...]:
        return tuple(self.number(least, most) for _ in range(self.number(*axes)))


def strategy(build: Callable) -> Callable[[], SearchStrategy]:
    """`build(draws) -> (args, settings)` as a hypothesis strategy; hypothesis is imported when one is asked for."""

    def of_op() -> SearchStrategy:
        from hypothesis import strategies

        return strategies.composite(lambda draw: build(Draws(draw)))()

    return of_op


# --- windows ----------------------------------------------------------------------------------------------------------


def _axis(draws: Draws, padding: str, *, dilation: int, real: bool) -> dict:
    """One axis of a window: stride s, kernel k, dilation d, the size of the image and its padding (lo, hi).

    Built backwards from the number of windows and the remainder r, so that no draw is refused. real: every window holds
    an element of the image, as pooling requires; then neither side is padded by a whole window.
    """
    s, k, d = draws.number(1, 3), draws.number(1, 3), draws.number(1, dilation)
    if padding == "SAME":
        return dict(stride=s, kernel=k, dilation=d, size=draws.number(1, 6), lo_hi=(0, 0))
    span, r = d * (k - 1) + 1, draws.number(0, s - 1)
    length = (draws.number(1, 2 if s > 1 else 3) - 1) * s + span + r  # of the padded or cropped image
    if padding == "VALID":
        return dict(stride=s, kernel=k, dilation=d, size=length, lo_hi=(0, 0))
    most = k - 1 if real else span
    lo = draws.number(-1, min(most, length))
    hi = draws.number(-1, min(most, length - 1 - max(lo, 0)))
    return dict(stride=s, kernel=k, dilation=d, size=length - lo - hi, lo_hi=(lo, hi))


def window_call(draws: Draws, *, dilation: int = 1, real: bool = False) -> tuple[tuple, tuple, dict]:
    """(spatial sizes of the image, kernel, settings) of a convolution or a pooling."""
    padding = draws.choice("VALID", "explicit", "SAME", "explicit")
    axes = [_axis(draws, padding, dilation=dilation, real=real) for _ in range(2)]
    stride, kernel, dilations, sizes, pads = (
        tuple(axis[key] for axis in axes) for key in ("stride", "kernel", "dilation", "size", "lo_hi")
    )
    settings = {"stride": stride, "padding": pads if padding == "explicit" else padding}
    if dilation > 1:
        settings["dilation"] = dilations
    return sizes, kernel, settings


def channels(draws: Draws) -> tuple[int, int, int]:
    """(groups, channels in, channels out): groups 1, 2, or as many as there are channels."""
    kind = draws.choice("one", "two", "depthwise")
    if kind == "depthwise":
        c = draws.number(2, 3)
        return c, c, c * draws.number(1, 2)
    groups = 1 if kind == "one" else 2
    return groups, groups * draws.number(1, 2), groups * draws.number(1, 2)

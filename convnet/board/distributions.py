"""Cases of a probability distribution: its density and its tails, and of each the logarithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import scipy.stats
from mpmath import mp

from convnet.board.case import Case, Point, case
from convnet.board.real import log

Oracle = Callable[..., Any]


def distribution(
    name: str, args: str, points: Sequence[Point], functions: str, oracles: dict[str, Oracle], **options: Any
) -> tuple[Case, ...]:
    """A case for each of the `functions` ("logpdf pdf cdf") of jax.scipy.stats.`name`, at the same points.

    oracles: by function; one that is missing is made of the one that it is the logarithm of, or the other way round.
    """
    return tuple(
        case(
            f"jax.scipy.stats.{name}.{function}",
            _oracle(function, oracles),
            points,
            args=args,
            scipy=getattr(getattr(scipy.stats, name), function, None),
            **options,
        )
        for function in functions.split()
    )


def _oracle(function: str, oracles: dict[str, Oracle]) -> Oracle:
    if function in oracles:
        return oracles[function]
    if function.startswith("log"):
        plain = oracles[function.removeprefix("log")]
        return lambda *args: log(plain(*args))
    logarithm = oracles[f"log{function}"]
    return lambda *args: mp.exp(logarithm(*args))


def standard(f: Oracle) -> Oracle:
    """f of the standardized variable, for functions of x, …, location and scale that are probabilities."""
    return lambda x, *shape: f((x - shape[-2]) / shape[-1], *shape[:-2])


def density(f: Oracle) -> Oracle:
    """The logarithm of a density, from that of the standardized variable."""
    return lambda x, *shape: f((x - shape[-2]) / shape[-1], *shape[:-2]) - mp.log(shape[-1])

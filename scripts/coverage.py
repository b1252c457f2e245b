"""How often does the library's 95 % interval hold the true mean? Draw seeds whose mean is known, and count.

    python -m scripts.coverage                                       a table, a row per number of seeds
    python -m scripts.coverage --out docs/results/coverage.json      and store it; update_ablations.py makes it a page

`mean_interval` is measured: every interval of an arm and of a difference is one of its. An interval that holds the mean
more often than in 95 of 100 ablations says too little, one that does less often claims too much.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convnet.ablation import mean_interval
from convnet.cli import run_command
from convnet.identity import environment
from convnet.progress import progress
from convnet.record import check_writable, write_json
from convnet.report import text_table
from convnet.settings import require

IMAGES = 359
"""Test images of the digits."""


class Case(NamedTuple):
    """draw(rng, seeds) -> scores or differences of one arm, [seeds], whose true mean is `mean`."""

    description: str
    mean: float
    draw: Callable[[np.random.Generator, int], np.ndarray]


CASES = {
    "normal": Case("normally distributed", 0.0, lambda rng, n: rng.normal(size=n)),
    "skewed": Case("exponential, of skewness 2", 1.0, lambda rng, n: rng.exponential(size=n)),
    "hits": Case(
        f"hits of two arms that know 97 % of {IMAGES} images",
        0.0,
        lambda rng, n: rng.binomial(IMAGES, 0.97, n) - rng.binomial(IMAGES, 0.97, n),
    ),
    "few hits": Case(
        "arms that differ in few images: Poisson of mean 1/2 less Poisson of mean 1/4",
        0.25,
        lambda rng, n: rng.poisson(0.5, n) - rng.poisson(0.25, n),
    ),
    "near 100 %": Case(
        f"hits of one arm that misses half an image of {IMAGES} on average",
        IMAGES - 0.5,
        lambda rng, n: rng.binomial(IMAGES, 1 - 0.5 / IMAGES, n),
    ),
    "failures": Case(
        "normal, but one seed in ten fails and loses 30 standard deviations",
        -3.0,
        lambda rng, n: rng.normal(size=n) - 30 * (rng.random(n) < 0.1),
    ),
}


@dataclass(frozen=True)
class Coverage:
    """Count how often the 95 % interval of a few seeds holds the true mean."""

    seeds: tuple[int, ...] = (2, 3, 4, 5, 7, 10, 15, 20)
    """Numbers of seeds."""
    repeats: int = 20_000
    """Intervals per case and number of seeds."""
    seed: int = 0
    """Of the random numbers."""
    out: Path | None = None
    """JSON file to write."""


def measure(case: Case, seeds: int, repeats: int, rng: np.random.Generator) -> dict[str, int]:
    """Of `repeats` ablations, how many have an interval, and how many of those hold the mean."""
    intervals = [mean_interval(case.draw(rng, seeds)) for _ in range(repeats)]
    defined = [interval for interval in intervals if not np.isnan(interval.low)]
    return {"intervals": len(defined), "held": sum(one.low <= case.mean <= one.high for one in defined)}


def table(results: list[dict[str, Any]]) -> list[list[str]]:
    """A row per number of seeds, a column per case; first row headings."""
    names = list(dict.fromkeys(result["case"] for result in results))
    found = {(result["case"], result["seeds"]): result for result in results}
    numbers = sorted({result["seeds"] for result in results})
    return [["seeds", *names], *([f"{n}", *(_share(found[name, n]) for name in names)] for n in numbers)]


def _share(result: dict[str, Any]) -> str:
    """In percent, with its own interval; and how many ablations had none to count, where some had none."""
    if not result["intervals"]:
        return "none"
    low, high = (100 * end for end in result["interval95"])
    without = 1 - result["intervals"] / result["repeats"]
    share = f"{100 * result['held'] / result['intervals']:.1f} ({low:.1f} … {high:.1f})"
    return share + (f", {without:.0%} without" if without >= 0.005 else "")


def coverage(settings: Coverage) -> None:
    from scipy import stats

    require(bool(settings.seeds), "seeds", settings.seeds, "one number or more")
    for n in settings.seeds:
        require(n >= 2, "seeds", n, "2 or more, for one seed gives no interval")
    require(settings.repeats >= 1, "repeats", settings.repeats, "1 or more")
    if settings.out is not None:
        check_writable(settings.out.parent)
    results = []
    with progress(len(CASES) * len(settings.seeds), "cell") as bar:
        for name, case in CASES.items():
            for n in dict.fromkeys(settings.seeds):
                # Of its own for each, so that a further case or number changes none of the others.
                rng = np.random.default_rng([settings.seed, n, *name.encode()])
                found = measure(case, n, settings.repeats, rng)
                ends = (0.0, 1.0)
                if found["intervals"]:
                    ends = stats.binomtest(found["held"], found["intervals"]).proportion_ci(method="exact")
                results.append({"case": name, "seeds": n, "repeats": settings.repeats, **found, "interval95": [*ends]})
                bar.update()
    print(f"of {settings.repeats} intervals, % that hold the true mean (and the exact 95 % interval of that share)\n")
    print(text_table(table(results)))
    print("\n" + "\n".join(f"{name}: {case.description}" for name, case in CASES.items()))
    print("without: ablations whose values were all equal, which have no interval")
    if settings.out is not None:
        cases = {name: case.description for name, case in CASES.items()}
        write_json(settings.out, {"environment": environment(), "cases": cases, "results": results})


if __name__ == "__main__":
    sys.exit(run_command(Coverage, coverage))

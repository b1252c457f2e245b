"""Are the statistics of ablations honest? Compare an arm with itself, again and again: what differs is chance alone.

python -m scripts.aa_test                  200 comparisons of two identical arms, 10 disjoint seeds each
python -m scripts.aa_test --repeats 20     fewer

Of tests at 5 %, 5 % must object. Many more would be false discoveries, many fewer a test that sees nothing.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from convnet import data
from convnet.ablation import Replicates, paired_effects
from convnet.architectures import Linear
from convnet.cli import run_command
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.progress import progress
from convnet.settings import require
from convnet.train import NonFiniteLoss

LEVEL = 0.05
CONFIG = RunConfig(
    data=DataConfig("digits", limit=300),
    model=Linear(),
    optim=OptimConfig("sgd", learning_rate=0.02, schedule="constant"),
    train=TrainConfig(epochs=2, batch_size=30),
)
"""Fast, and far from the end of training, so that the initial weights and the order show in the accuracy."""


@dataclass(frozen=True)
class AATest:
    """Repeat an ablation of two identical arms and count how often it reports a difference."""

    repeats: int = 200
    """Ablations."""
    seeds: int = 10
    """Seeds of each arm; no two arms share one, for equal seeds would give equal bits."""
    first_seed: int = 0
    """The lowest seed."""


def accuracies(count: int, first_seed: int) -> np.ndarray:
    """Test accuracies of CONFIG for `count` seeds, as exact fractions: [count]."""
    dataset = data.from_config(CONFIG.data)
    trainer = Replicates(CONFIG, dataset, vmapped=False)  # several times as fast as vmapped, on CPUs
    found = []
    configs = [replace(CONFIG, seed=first_seed + i) for i in range(count)]
    with progress(count, "run") as bar:
        for _, outcome in trainer.run_all(configs):
            if isinstance(outcome, NonFiniteLoss):
                raise outcome
            found.append(Fraction(outcome.test_hits, outcome.test_images))
            bar.update()
    return np.array(found)


def judge(arms: np.ndarray) -> tuple[dict[str, int], int]:
    """arms: [repeats, 2, seeds] -> in how many repeats each statistic reports a difference that is not there, and how
    many there are to judge: equal differences have neither p nor interval."""
    pairs = ((dict(enumerate(one)), dict(enumerate(other))) for one, other in arms)
    effects = [paired_effects(one, {"again": other})["again"] for one, other in pairs]
    tested = [effect for effect in effects if not math.isnan(effect.p)]
    beside = [effect.difference.low > 0 or effect.difference.high < 0 for effect in tested]
    objections = {
        "paired t test (p < 0.05)": sum(effect.p_holm < LEVEL for effect in tested),
        "95 % interval of the difference (without 0)": sum(beside),
    }
    return objections, len(tested)


def aa_test(settings: AATest) -> None:
    from scipy import stats

    for name in ("repeats", "seeds"):
        least = {"repeats": 1, "seeds": 2}[name]
        require(getattr(settings, name) >= least, name, getattr(settings, name), f"{least} or more")
    values = accuracies(2 * settings.repeats * settings.seeds, settings.first_seed)
    print(
        f"{settings.repeats} ablations of two identical arms × {settings.seeds} seeds: test accuracy "
        f"{float(values.mean()):.2%}, standard deviation between seeds {100 * values.astype(float).std():.2f} points"
    )
    objections, tested = judge(values.reshape(settings.repeats, 2, settings.seeds))
    if tested < settings.repeats:
        print(f"{settings.repeats - tested} of {settings.repeats} have no p and no interval: all differences are equal")
    for name, count in objections.items() if tested else ():
        ends = stats.binomtest(count, tested).proportion_ci(method="exact")
        print(
            f"{name}: {count} of {tested} report a difference, {count / tested:.1%} "
            f"(95 % interval {ends.low:.1%} … {ends.high:.1%}; 5 % expected)"
        )


if __name__ == "__main__":
    sys.exit(run_command(AATest, aa_test))

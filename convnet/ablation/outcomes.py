"""What the runs of several arms come to: an interval for each arm, its effect beside the first, and which are twins."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from convnet.ablation.stats import Effect, Interval, divergence_p, mean_interval, paired_effects, varies


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    score: what is compared, exactly, such as Fraction(hits, images); that of guessing where training diverged, so that
        no arm gains by losing its bad runs.
    fingerprints: marks that no two different runs have in common, such as a hash of the parameters.
    """

    score: Fraction
    diverged: bool = False
    fingerprints: frozenset[Hashable] = field(default_factory=frozenset)


@dataclass(frozen=True)
class ArmSummary:
    """What the runs of one arm say.

    effect: against the base, over the seeds that both have. None for the base itself, where no seed is shared, and for
        an arm that is `same_as` an earlier one: comparing a run with itself is no test, and counts for none in Holm's
        correction.
    remarks: one line for everything that is missing, why.
    """

    score: Interval
    effect: Effect | None
    divergence_p: float
    same_as: str | None
    remarks: tuple[str, ...]


def summarize_arms(arms: Mapping[str, Mapping[int, Outcome]]) -> dict[str, ArmSummary]:
    """arm -> seed -> outcome, the base first. Arms without any outcome are left out."""
    base_name, base = next(iter(arms.items()))
    twins = _twins(arms)
    scores = {name: {seed: one.score for seed, one in runs.items()} for name, runs in arms.items()}
    tested = {name: by_seed for name, by_seed in scores.items() if name != base_name and name not in twins}
    effects = paired_effects(scores[base_name], tested)
    found = {}
    for name, runs in arms.items():
        if not runs:
            continue
        shared = sorted(base.keys() & runs.keys())
        pairs = [[which[seed].diverged for seed in shared] for which in (base, runs)]
        found[name] = ArmSummary(
            score=mean_interval(list(scores[name].values())),
            effect=effects.get(name),
            divergence_p=divergence_p(*pairs),
            same_as=twins.get(name),
            remarks=(*_of_runs(runs), *(_of_pairs(base_name, base, runs) if name in tested else ())),
        )
    return found


def _twins(arms: Mapping[str, Mapping[int, Outcome]]) -> dict[str, str]:
    """Arm -> the first arm with which it has seeds in common, each of them the same run in both."""
    twins: dict[str, str] = {}
    for name, runs in arms.items():
        for earlier, others in arms.items():
            if earlier == name:
                break
            shared = runs.keys() & others.keys()
            if shared and all(runs[s].fingerprints & others[s].fingerprints for s in shared):
                twins[name] = earlier
                break
    return twins


def _of_runs(runs: Mapping[int, Outcome]) -> list[str]:
    """Why an arm has no interval, or one that says little."""
    if all(one.diverged for one in runs.values()):
        return ["every run diverged, so its score is that of guessing and has no interval"]
    if len(runs) == 1:
        return ["one run has no interval: two seeds or more are needed"]
    if not varies([one.score for one in runs.values()]):
        return [f"no interval, for all {len(runs)} runs have the same score"]
    return []


def _of_pairs(base_name: str, base: Mapping[int, Outcome], runs: Mapping[int, Outcome]) -> list[str]:
    """Why an arm's difference to the base is missing or incomplete."""
    shared = sorted(base.keys() & runs.keys())
    if not shared:
        return [f"not compared, for it has no seed in common with {base_name}"]
    found = []
    everything = base.keys() | runs.keys()
    if len(shared) < len(everything):
        found.append(f"compared over the {len(shared)} of {len(everything)} seeds that {base_name} has, too")
    if len(shared) == 1:
        return [*found, "one pair has no interval and no p: two seeds or more are needed"]
    if not varies([runs[seed].score - base[seed].score for seed in shared]):
        found.append(f"no interval and no p, for all {len(shared)} differences are equal")
    return found

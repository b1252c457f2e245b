"""Comparing runs with each other: arms that differ in named factors, many seeds of each, and what they say."""

from convnet.ablation.grid import Arm, Factor, expand
from convnet.ablation.outcomes import ArmSummary, Outcome, summarize_arms
from convnet.ablation.replicates import Replicates
from convnet.ablation.stats import (
    COVERAGE,
    Effect,
    Interval,
    divergence_p,
    holm,
    mean_interval,
    paired_effects,
    paired_p,
    smallest_detectable,
)
from convnet.ablation.summary import arm_statistics, recomputed, summarize_plan

__all__ = [
    "COVERAGE",
    "Arm",
    "ArmSummary",
    "Effect",
    "Factor",
    "Interval",
    "Outcome",
    "Replicates",
    "arm_statistics",
    "divergence_p",
    "expand",
    "holm",
    "mean_interval",
    "paired_effects",
    "paired_p",
    "recomputed",
    "smallest_detectable",
    "summarize_arms",
    "summarize_plan",
]

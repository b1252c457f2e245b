"""Comparing runs with each other: arms that differ in named factors, many seeds of each, and what they say."""

from convnet.ablation.grid import Arm, Factor, expand
from convnet.ablation.replicates import Replicates
from convnet.ablation.stats import (
    Effect,
    Interval,
    bootstrap_interval,
    divergence_p,
    holm,
    mean_interval,
    paired_effects,
    paired_p,
    smallest_detectable,
)

__all__ = [
    "Arm",
    "Effect",
    "Factor",
    "Interval",
    "Replicates",
    "bootstrap_interval",
    "divergence_p",
    "expand",
    "holm",
    "mean_interval",
    "paired_effects",
    "paired_p",
    "smallest_detectable",
]

"""Comparing runs with each other."""

from convnet.ablation.stats import Interval, mean_interval

__all__ = ["Interval", "mean_interval"]

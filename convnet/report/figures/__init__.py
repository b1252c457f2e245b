"""Matplotlib figures of arrays that were computed elsewhere, by subject."""

from convnet.report.figures.ablation import LEVEL, bands, costs, differences_figure, forest, interaction
from convnet.report.figures.audit import distributions, heat_map, shares
from convnet.report.figures.benchmarks import ratio_bars, scaling
from convnet.report.figures.charts import CIRCLES, POINTS, Line, Panel, chart, interval_bars
from convnet.report.figures.graph import graph
from convnet.report.figures.images import Image, images
from convnet.report.figures.training import confusion_matrices, filters, labelled_images, learning_curves

__all__ = [
    "CIRCLES",
    "LEVEL",
    "POINTS",
    "Image",
    "Line",
    "Panel",
    "bands",
    "chart",
    "confusion_matrices",
    "costs",
    "differences_figure",
    "distributions",
    "filters",
    "forest",
    "graph",
    "heat_map",
    "images",
    "interaction",
    "interval_bars",
    "labelled_images",
    "learning_curves",
    "ratio_bars",
    "scaling",
    "shares",
]

"""A graph of what is computed, with numbers on its edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from convnet.report.figures.panels import colour

Place = tuple[float, float]


def graph(
    nodes: Sequence[tuple[str, Place]],
    edges: Sequence[tuple[int, Place, str, str]],
    labels: Mapping[str, Place],
    *,
    size: tuple[float, float],
) -> Figure:
    """nodes: name and place of each. edges: the number of the node that it leaves, the place where it goes, and what is
    written above and below it. labels: what stands elsewhere; the first two say what is above and below, in the same
    colours. size: of the figure, in inches."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    arrow, circle = dict(arrowstyle="-|>", color="0.6", shrinkA=14, shrinkB=14), dict(boxstyle="circle,pad=0.35")
    for name, (x, y) in nodes:
        axes.text(x, y, name, ha="center", va="center", bbox={**circle, "fc": "white", "ec": "black"})
    for node, (to_x, to_y), above, below in edges:
        _, (x, y) = nodes[node]
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=arrow)
        at_x, at_y = x + 0.38 * (to_x - x), y + 0.38 * (to_y - y)  # nearer to the node whose number it is
        axes.text(at_x, at_y + 0.07, above, ha="center", va="bottom", color=colour(0), fontsize=10)
        axes.text(at_x, at_y - 0.07, below, ha="center", va="top", color=colour(1), fontsize=10)
    for (text, place), ink in zip(labels.items(), (colour(0), colour(1), *["black"] * len(labels)), strict=False):
        axes.text(*place, text, ha="left" if ink != "black" else "center", va="center", color=ink)
    xs, ys = zip(*(place for _, place in nodes), *(to for _, to, *_ in edges), *labels.values(), strict=True)
    axes.set(xlim=(min(xs) - 0.4, max(xs) + 0.4), ylim=(min(ys) - 0.5, max(ys) + 0.5))
    axes.set_axis_off()
    return figure

"""A photograph in the style of another, as the network sees style."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.analysis import View
from convnet.report.look.dreams import WIDTH, photograph
from convnet.report.look.subject import Look, photo
from convnet.report.page import Section


def styles(look: Look) -> Section | None:
    """One photograph painted as another; None where the network takes images of its own size only."""
    content, style = (photograph(name, look, look.effort.side) for name in ("china.jpg", "flower.jpg"))
    try:
        View.of(look.network, image_shape=content.shape)
    except ValueError:
        return None
    painted = analysis.style_transfer(look.network, content, style, steps=look.effort.strokes, seed=look.seed)
    row = [
        photo(content, "A photograph of a Chinese temple", "content", WIDTH),
        photo(style, "A photograph of a flower", "style", WIDTH),
        photo(painted.image, "The temple in the colours and the texture of the flower", "painted", WIDTH),
    ]
    first, last = painted.objectives[[0, -1]]
    return Section(
        "Style",
        "The maps of one photograph, and of another the correlations between maps, whatever their place.",
        table=[["content", "style", "painted"], row],
        caption=f"Style transfer (Gatys et al., 2016): content of {painted.content_layer}, style of "
        f"{', '.join(painted.style_layers)}; objective in {len(painted.objectives) - 1} steps: from {first:.3g} to "
        f"{last:.3g}. Larger, and of your own photographs: experiments/style_transfer.py. A network of small images "
        "knows colours, grain and strokes, no larger forms. A wrong picture: one photograph through the other, or the "
        "content unchanged.",
        arrays={"painted": painted.image, "objectives": np.asarray(painted.objectives)},
    )

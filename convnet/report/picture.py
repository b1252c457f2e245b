"""A figure as a PNG, whatever the names in it are made of."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from PIL import Image

LONGEST = 48
"""Characters of a name in a figure: more would leave no room for what it names."""


def png(figure: Figure) -> bytes:
    """`figure` as a picture. Every text in it is shown as it is: a `$` begins no formula."""
    _take_literally(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, and the page beside the picture has the name.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def pixels_png(image: np.ndarray) -> bytes:
    """RGB [H, W, 3] in 0 … 1 as a picture of so many pixels.

    Raises ValueError for another shape, values out of range and NaN: in a picture they would be some colour.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image has shape {list(image.shape)}: expected [H, W, 3]")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"image holds {image.min():.3g} … {image.max():.3g}: expected 0 … 1")
    buffer = io.BytesIO()
    Image.fromarray(np.round(255 * image).astype(np.uint8)).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _take_literally(figure: Figure) -> None:
    """Names come from users. Only powers of ten along an axis are Matplotlib's own formulas."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(text.get_text().encode("utf-8", "replace").decode())  # no font has half a surrogate
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatter):
            for text in axis.findobj(Text):
                text.set_parse_math(text is not axis.label)


def shown(names: Iterable[str], *, longest: int = LONGEST) -> dict[str, str]:
    """Name -> what stands for it in a figure: one line, long ones without their middle, and none twice."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        if len(line) > longest:
            tail = longest // 3
            line = f"{line[: longest - tail - 1]}…{line[-tail:]}"
        candidates = (line, *(f"{line} ({number})" for number in range(2, len(found) + 3)))
        found[name] = next(candidate for candidate in candidates if candidate not in found.values())
    return found


def ticks(names: Iterable[str], *, longest: int = LONGEST) -> list[str]:
    """The same for the names along an axis, which may be equal."""
    names = list(names)
    found = shown(names, longest=longest)
    return [found[name] for name in names]


def legend(owner, handles: Mapping[str, object], **options) -> None:
    """A legend of `owner` (figure or axes): name -> what is drawn so.

    Matplotlib before 3.10 leaves out names that begin with `_`, so the names are written after it has looked.
    """
    drawn = owner.legend(list(handles.values()), ["·"] * len(handles), frameon=False, **options)
    for text, name in zip(drawn.get_texts(), handles, strict=True):
        text.set_text(name)

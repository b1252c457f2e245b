"""How to draw so that it looks like a data set's images: on which ground, in which ink, how thick and how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INK = 0.2
"""How far from the ground a pixel has to be to count as ink, in 0 … 1."""


@dataclass(frozen=True)
class Pen:
    """What is drawn with, in the 0 … 1 and the pixels of the images.

    box: the (height, width) that drawings fill, and centre: the (row, column) of their mass; None where the images are
    not drawings: what is drawn then stays where it is.
    """

    ground: tuple[float, ...]
    ink: tuple[float, ...]
    thickness: float
    box: tuple[float, float] | None = None
    centre: tuple[float, float] | None = None

    @classmethod
    def like(cls, images: np.ndarray) -> Pen:
        """For images [N, H, W, C] in 0 … 1.

        They are taken for drawings if they have one channel and most of their border is plain black or plain white.
        The thickness of a stroke is twice its area over its outline, whose length is the total variation.
        """
        count, height, width, channels = images.shape
        plain = cls((0.0,) * channels, (1.0,) * channels, max(1.0, min(height, width) / 14))
        if not count or channels != 1:
            return plain
        grey = images[..., 0].astype(np.float64)
        border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
        ground = round(float(np.median(border)))
        ink = np.abs(grey - ground)
        if np.mean(np.abs(border - ground) < INK) < 0.6 or not (ink > INK).any(axis=(1, 2)).all():
            return plain
        sizes = [np.percentile((ink > INK).any(axis=axis).sum(axis=1), 90) for axis in (2, 1)]
        mass = ink.sum(axis=(1, 2))
        rows, columns = np.indices((height, width)) + 0.5
        centre = [np.median((ink * places).sum(axis=(1, 2)) / mass) for places in (rows, columns)]
        around = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
        down, across = np.diff(around, axis=1)[:, :, :-1], np.diff(around, axis=2)[:, :-1]
        thickness = np.median(2 * mass / np.hypot(down, across).sum(axis=(1, 2)))
        return cls(
            (float(ground),), (1.0 - ground,), float(thickness), tuple(map(float, sizes)), tuple(map(float, centre))
        )

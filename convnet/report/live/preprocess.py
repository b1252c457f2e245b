"""What a network sees of an image: a part of it, scaled and shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convnet.analysis import View


@dataclass(frozen=True)
class Preprocess:
    """y = scale · x[top:, left:] + shift of images x [H, W, C] in 0 … 1; scale and shift: [H', W', C]."""

    image_shape: tuple[int, int, int]
    top: int
    left: int
    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, view: View) -> Preprocess:
        """Found by trying what `view.preprocess` makes of images.

        Raises ValueError for one that does more.
        """
        shape, size = view.image_shape, np.prod(view.image_shape)
        places = np.arange(size).reshape(shape) / size
        noise = np.random.default_rng(0).uniform(size=shape)
        with view.precision():
            tried = np.stack([np.zeros(shape), np.ones(shape), places, noise]).astype(view.dtype)
            shift, one, of_places, of_noise = np.asarray(view.preprocess(tried), np.float64)
        scale = one - shift
        corner = size * (of_places - shift).flat[0] / scale.flat[0] if scale.flat[0] else 0.0
        top, left, _ = np.unravel_index(int(np.clip(np.round(corner), 0, size - 1)), shape)
        part = noise[top : top + scale.shape[0], left : left + scale.shape[1]]
        alike = part.shape == scale.shape and np.allclose(
            of_noise, scale * part + shift, atol=1e-4 * np.abs(scale).max()
        )
        if not alike:
            raise ValueError(f"preprocess is {view.preprocess!r}: a live page can only crop, scale and shift pixels")
        return cls(shape, int(top), int(left), scale, shift)

    @property
    def grey(self) -> np.ndarray:
        """The image [H, W, C] of which the network sees 0 everywhere, as nearly as pixels from 0 to 1 allow; the mean
        of its training images, where these were normalised. 0 where it sees nothing."""
        found = np.zeros(self.image_shape)
        seen = np.divide(-self.shift, self.scale, out=np.zeros_like(self.scale), where=self.scale != 0)
        found[self.top : self.top + seen.shape[0], self.left : self.left + seen.shape[1]] = np.clip(seen, 0, 1)
        return found

"""Images that somebody gives to a trained network."""

from typing import Any

import jax.numpy as jnp
from jax import Array


def check_images(images: Any, image_shape: tuple[int, int, int]) -> Array:
    """`images` as [N, H, W, C], where (H, W, C) is `image_shape`; [N, H, W] will do where there is one channel.

    Raises ValueError for another shape, for no images, and for what is neither uint8 nor floats from 0 to 1.
    """
    images = jnp.asarray(images)
    if images.ndim == 3 and image_shape[2] == 1:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1:] != image_shape or not images.shape[0]:
        told = ", ".join(map(str, image_shape))
        raise ValueError(f"images have shape {list(images.shape)}: expected [N, {told}], N at least 1")
    if images.dtype == jnp.uint8:
        return images
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images are {images.dtype}: expected uint8, or floats from 0 to 1")
    if not (images.min() >= 0 and images.max() <= 1):  # also where one is NaN
        raise ValueError(f"images hold {images.min():.3g} … {images.max():.3g}: expected floats from 0 to 1")
    return images

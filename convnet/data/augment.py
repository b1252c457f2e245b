"""Augmentation as pure functions on uint8 batches, run inside the compiled training step.

Each image gets its own draw, all of them from one key, so a batch is augmented the same whenever its key is the same.
Pixels are only moved, never computed: what comes out is uint8 again, and `normalize` is the one place that is not.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Fill = int | np.ndarray | Array
Border = Literal["zero", "reflect"]


def shift(key: Array, images: Array, *, pixels: int, fill: Fill = 0, border: Border = "zero") -> Array:
    """Translates each image by its own uniform offset in {−pixels, …, pixels}², the border filled with a constant, or
    with the image's reflection.

    images: [N, H, W, C] uint8 -> the same shape. fill: a pixel value, or one for each channel, [C] uint8. border:
    "zero" takes the fill; "reflect" mirrors the image at the middle of its outermost pixels.

    Raises ValueError for images that are not uint8 [N, H, W, C], pixels < 0, another border or an unfit fill.
    """
    _check_images(images)
    if pixels < 0:
        raise ValueError(f"pixels must be at least 0, got {pixels}")
    if border not in get_args(Border):
        raise ValueError(f"border must be one of {', '.join(get_args(Border))}, got {border!r}")
    fill = _channel_fill(fill, images.shape[-1])
    if pixels == 0:
        return images
    # A window of the original size, placed at random on the image with a border: offset `pixels` is no shift.
    if border == "reflect":
        padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
        return _random_windows(key, padded, *images.shape[1:3])
    # lax.pad takes a single value; uint8 arithmetic is modulo 256, so subtracting the fill and adding it is exact.
    added = (pixels, pixels, 0)
    padded = lax.pad(images - fill, jnp.uint8(0), ((0, 0, 0), added, added, (0, 0, 0)))
    return _random_windows(key, padded, *images.shape[1:3]) + fill


def flip(key: Array, images: Array) -> Array:
    """Mirrors each image left to right with probability ½. images: [N, H, W, C] uint8 -> the same shape."""
    _check_images(images)
    mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def alternating_flip(key: Array, images: Array, epoch: Array | int) -> Array:
    """Mirrors each image left to right in every other epoch: about half of them in odd epochs, the others in even ones
    (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, section 3.6).

    images: [N, H, W, C] uint8 -> the same shape. Which half an image belongs to follows from `key`, the same in each
    epoch, and from the image itself, so that its place in the data, in a batch or on a device makes no difference.
    """
    _check_images(images)
    pixels = images.reshape(len(images), -1).astype(jnp.uint32)
    weights = jax.random.bits(key, (1, pixels.shape[1]), jnp.uint32)
    # A sum modulo 2³² of pixels times random weights: its uppermost bit is as good as a coin.
    sums = jnp.sum(pixels * weights, axis=1, dtype=jnp.uint32)
    mirrored = (sums >> 31) ^ (jnp.asarray(epoch).astype(jnp.uint32) & 1)
    return jnp.where(mirrored[:, None, None, None] == 1, images[:, :, ::-1], images)


def random_crop(key: Array, images: Array, *, size: int) -> Array:
    """Cuts a size×size window out of each image, its place uniform over all that lie within the image.

    images: [N, H, W, C] uint8 -> [N, size, size, C]. Raises ValueError for a size below 1 or above H or W.
    """
    _check_images(images)
    _check_size(size, images)
    return _random_windows(key, images, size, size)


def center_crop(images: Array, *, size: int) -> Array:
    """Cuts out the central size×size window, the upper left of the central ones where there are several.

    images: [N, H, W, C] of any dtype -> [N, size, size, C]. Raises ValueError for a size below 1 or above H or W, and
    another number of axes.
    """
    if images.ndim != 4:
        raise ValueError(f"images must be [N, H, W, C], got shape {images.shape}")
    _check_size(size, images)
    top, left = ((extent - size) // 2 for extent in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def augment(
    key: Array,
    images: Array,
    *,
    shift_pixels: int = 0,
    flip_images: bool = False,
    crop_size: int | None = None,
    fill: Fill = 0,
    border: Border = "zero",
) -> Array:
    """Crop, shift and flip in that order, each where enabled, with a key of its own.

    images: [N, H, W, C] uint8 -> the same, or [N, crop_size, crop_size, C]. The keys do not depend on what is enabled,
    so enabling one augmentation leaves the draws of the others as they were.
    """
    _check_images(images)
    crop_key, shift_key, flip_key = jax.random.split(key, 3)
    if crop_size is not None:
        images = random_crop(crop_key, images, size=crop_size)
    images = shift(shift_key, images, pixels=shift_pixels, fill=fill, border=border)
    return flip(flip_key, images) if flip_images else images


def normalize(images: Array, mean: Array, std: Array) -> Array:
    """(images − mean) / std, channel by channel.

    images: [..., C] uint8 or floating; mean, std: [C], std nowhere 0 (`Dataset.std` never is) -> float32 [..., C].
    """
    channels = images.shape[-1:]
    for name, value in (("mean", mean), ("std", std)):
        if np.shape(value) != channels:
            raise ValueError(f"{name} must have shape [C] = {channels}, one for each channel, got {np.shape(value)}")
    shape = (1,) * (images.ndim - 1) + channels
    mean, std = (jnp.asarray(value, jnp.float32).reshape(shape) for value in (mean, std))
    return (jnp.asarray(images, jnp.float32) - mean) / std


def _random_windows(key: Array, images: Array, height: int, width: int) -> Array:
    """A window [height, width] of each image, its place uniform.

    Measured on CPU inside a jitted scan (batches of 128 images of 32×32×3 uint8 with a border of 4; jax 0.10 / 0.12,
    milliseconds a batch, draws and padding included): dynamic_slice under vmap 0.33 / 0.42; dynamic_slice under lax.map
    0.44 / 0.51; advanced indexing 0.68 / 0.73; take_along_axis for rows, then columns 1.0 / 0.7; selecting by the
    bits of the offset 2.8 / 1.7; one-hot matrix products 2.2 / 2.7; selecting among all offsets 9.1 / 7.0.
    """
    n, rows, columns, channels = images.shape
    row_key, column_key = jax.random.split(key)
    tops = jax.random.randint(row_key, (n,), 0, rows - height + 1)
    lefts = jax.random.randint(column_key, (n,), 0, columns - width + 1)

    def window(image: Array, top: Array, left: Array) -> Array:
        return lax.dynamic_slice(image, (top, left, jnp.zeros_like(top)), (height, width, channels))

    return jax.vmap(window)(images, tops, lefts)


def _channel_fill(fill: Fill, channels: int) -> Array:
    """fill as uint8 [1, 1, 1, C]."""
    if isinstance(fill, int):
        if not 0 <= fill <= 255:
            raise ValueError(f"fill must be a pixel value from 0 to 255, got {fill}")
        fill = np.uint8(fill)
    fill = fill if isinstance(fill, Array) else np.asarray(fill)
    if fill.dtype != np.uint8 or fill.shape not in ((), (channels,)):
        raise ValueError(
            f"fill must be an int, or uint8 of shape () or [C] = ({channels},), got {fill.dtype} of shape {fill.shape}"
        )
    return jnp.broadcast_to(fill.reshape(1, 1, 1, -1), (1, 1, 1, channels))


def _check_images(images: Array) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 [N, H, W, C], got {images.dtype} of shape {images.shape}")


def _check_size(size: int, images: Array) -> None:
    height, width = images.shape[1:3]
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size must be from 1 to the image's smaller side, {min(height, width)}, got {size}")

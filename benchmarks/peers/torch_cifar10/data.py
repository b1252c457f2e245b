"""Images: normalised, padded, cropped and mirrored. They lie as [N, H, W, C]; the network gets them as
[N, C, H, W] without a copy: channels last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

SIZE = 32
PIECE = 5000
"""Images that are normalised at a time: of all of them, float32 would take gigabytes for a moment."""


def normalized(images: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Images of bytes as numbers of `dtype`."""
    mean, std = (torch.tensor(values, device=images.device) for values in (mean, std))
    return torch.cat([((piece.float() / 255 - mean) / std).to(dtype) for piece in images.split(PIECE)])


def mirrored(images: Tensor) -> Tensor:
    return images.flip(2)


def mirrored_by_chance(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image as it is or its mirror."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(chosen, mirrored(images), images)


def reflect_padded(images: Tensor, margin: int) -> Tensor:
    """With `margin` more rows and columns on each side; the edge itself is not repeated."""
    last = images.shape[1] - 1
    places = torch.arange(-margin, last + margin + 1, device=images.device).abs()
    places = last - (last - places).abs()
    return images.index_select(1, places).index_select(2, places)


def channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2)


def epoch_batches(
    images: Tensor, epoch: int, *, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images [N, C, H, W], their numbers): every padded image at most once, in a new order, cropped at a new place; in
    odd epochs all are mirrored. The remainder is dropped."""
    count, offsets, device = len(images), images.shape[1] - SIZE + 1, images.device
    order = torch.randperm(count, generator=generator, device=device)
    rows, columns = torch.randint(offsets, (2, count), generator=generator, device=device)
    windows = images.unfold(1, SIZE, 1).unfold(2, SIZE, 1).permute(0, 1, 2, 4, 5, 3)  # [N, row, column, H, W, C]
    for start in range(0, count - batch_size + 1, batch_size):
        numbers = order[start : start + batch_size]
        batch = windows[numbers, rows[numbers], columns[numbers]]
        yield channels_first(mirrored(batch) if epoch % 2 else batch), numbers


def views_of(images: Tensor, views: str) -> list[Tensor]:
    """As [N, C, H, W]: the images and their mirrors; cropped one pixel to the upper left, and their mirrors; one to the
    lower right, and their mirrors. As many of these six as `views` says."""
    found = [images]
    if views == "six":
        padded = reflect_padded(images, 1)
        found += [padded[:, :SIZE, :SIZE], padded[:, 2:, 2:]]
    if views != "none":
        found = [both for view in found for both in (view, mirrored(view))]
    return [channels_first(view.contiguous()) for view in found]


def averaged(logits: Sequence[Tensor], views: str) -> Tensor:
    """Of the logits of all views, in the order of `views_of`: half the mean of image and mirror, half the mean of the
    shifted ones. mirror: the mean of the first two; none: the first."""
    if views == "none":
        return logits[0]
    still = (logits[0] + logits[1]) / 2
    return still if views == "mirror" else still / 2 + (logits[2] + logits[3] + logits[4] + logits[5]) / 8

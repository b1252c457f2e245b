"""The two values every dataset is made of: `Split` (images and labels) and `Dataset` (three splits and class names).

Images stay uint8 in raw pixel units; normalisation happens inside the compiled step, with `mean` and `std` of the
training split alone, so nothing about validation or test leaks into training.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from convnet.data.measures import Measures, digest_of, histograms_of, measured, moments, patch_moment_of
from convnet.data.splits import spread, subset
from convnet.data.stored import StoredImages, is_stored

MEASURED = 5000
"""Images of which the patches are measured."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images [N, H, W, C] uint8 and their labels [N]; any integer label dtype comes in, int32 is kept.

    The arrays are its own and read-only: what becomes of the caller's changes nothing here. Images may be
    `StoredImages`, too, which are read when they are asked for; labels are in memory.

    Raises ValueError for another dtype or shape, for no examples, and for a label that is negative or beyond int32.
    """

    images: np.ndarray | StoredImages
    labels: np.ndarray

    def __post_init__(self):
        images, labels = as_array(self.images), np.asarray(self.labels)
        _check_images(images)
        _check_labels(labels, len(images))
        object.__setattr__(self, "images", images if is_stored(images) else _frozen(images))
        object.__setattr__(self, "labels", _frozen(labels.astype(np.int32, copy=False)))

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Split":
        """The examples at `indices`, in that order. Of stored images none is read."""
        if is_stored(self.images):
            return Split(self.images.take(indices), self.labels[indices])
        chosen = [array[indices] for array in (self.images, self.labels)]
        for array in chosen:
            array.flags.writeable = False  # new and nobody else's, or a view of ours
        return Split(*chosen)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one image classification task. Your own is made with `convnet.data.from_arrays`, or directly.

    Raises ValueError if the splits' images differ in H, W or C, or a label is not in [0, len(class_names)).
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "class_names", _checked_names(self.class_names))
        for name, split in self.splits.items():
            if not isinstance(split, Split):
                raise ValueError(f"{name} must be a Split, got {type(split).__name__}")
            if split.images.shape[1:] != self.image_shape:
                raise ValueError(
                    f"{name} images must have the shape of the train images (H, W, C) = {self.image_shape}, "
                    f"got {split.images.shape[1:]}"
                )
            worst = int(split.labels.argmax())
            if split.labels[worst] >= self.num_classes:
                raise ValueError(
                    f"{name} labels must be in [0, {self.num_classes}), one for each of class_names, "
                    f"got {split.labels[worst]} at index {worst}"
                )

    @property
    def splits(self) -> dict[str, Split]:
        return {name: getattr(self, name) for name in ("train", "validation", "test")}

    @property
    def stored(self) -> bool:
        """Whether images of any split are not in memory."""
        return any(is_stored(split.images) for split in self.splits.values())

    @property
    def nbytes(self) -> int:
        """Of the images of all splits, in memory or as they would be there."""
        return sum(split.images.nbytes for split in self.splits.values())

    def first(self, **counts: int) -> "Dataset":
        """With only so many of the first examples of the splits that are named: `first(test=1000)`."""
        few = {name: np.arange(min(count, len(self.splits[name]))) for name, count in counts.items()}
        return replace(self, **{name: self.splits[name].take(indices) for name, indices in few.items()})

    def limited(self, size: int | None) -> "Dataset":
        """With so many training examples, a fixed subset stratified by class; None: all of them.

        Raises ValueError for a size below the number of classes, or above that of the examples.
        """
        if size is None:
            return self
        try:
            chosen = subset(self.train.labels, size)
        except ValueError as error:
            raise ValueError(f"limit {size} does not suit {self.name}: {error}") from error
        return replace(self, train=self.train.take(chosen))

    def mapped(self, change: Callable[[Split], Split], name: str | None = None) -> "Dataset":
        """With `change` made to each split. name: of the data that come of it; None: as before.

        Stored images are read where `change` reads them (as arithmetic does: all of them); `Split.take` does not.
        """
        return replace(self, name=name or self.name, **{n: change(split) for n, split in self.splits.items()})

    @property
    def description(self) -> dict[str, Any]:
        """What tells these data from others, as plain JSON values: name, digest, shape (H, W, C), sizes, classes."""
        sizes = {name: len(split) for name, split in self.splits.items()}
        found = {"name": self.name, "digest": self.digest, "shape": list(self.image_shape), "sizes": sizes}
        return found | {"classes": self.num_classes}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the images and labels of all splits, in their order: equal only for equal data, stored or not.

        Raises UnreadableImages for stored images that cannot be read.
        """
        return self._measures.digest if self.stored else digest_of(self.splits)

    @cached_property
    def _measures(self) -> Measures:
        return measured(self.splits)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.train.images.shape[1:]

    @property
    def arrays(self) -> tuple[tuple[Any, Any], ...]:
        """(images, labels) of the training, validation and test split."""
        return tuple((split.images, split.labels) for split in self.splits.values())

    def placed(self, where: Hashable, place: Callable[[Any], Any]) -> tuple[tuple[Any, Any], ...]:
        """The arrays as `place` puts them on devices: there once for each `where`, however many runs read them. Stored
        images are read into memory for it."""
        placed = self.__dict__.setdefault("_placed", {})
        if where not in placed:
            placed[where] = tuple(place([(np.asarray(images), labels) for images, labels in self.arrays]))
        return placed[where]

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the training split, [C] float32 in pixel units."""
        return self._pixel_statistics[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation (biased) of each channel over the training split, [C] float32 in pixel units.

        1 for a channel that is constant, so that dividing by it is harmless.
        """
        return self._pixel_statistics[1]

    def patch_moment(self, side: int, count: int = MEASURED) -> np.ndarray:
        """Mean of pᵀp over all patches p of side×side normalised pixels, row by row and channel by channel, of `count`
        training images spread evenly over all: [D, D] float64, D = side·side·C. Measured once.

        Raises ValueError for images smaller than a patch, and UnreadableImages for stored images that cannot be read.
        """
        kept = self.__dict__.setdefault("_patch_moments", {})
        if (side, count) not in kept:
            rows = spread(len(self.train), count)
            kept[side, count] = patch_moment_of(self.train.images, rows, side, self.mean, self.std)
        return kept[side, count]

    @cached_property
    def _pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        histograms = self._measures.histograms if self.stored else histograms_of(self.train.images)
        mean, std = np.asarray([moments(histogram) for histogram in histograms], np.float32).T
        return mean, std


def _frozen(array: np.ndarray) -> np.ndarray:
    """`array` itself where nobody can write to it, else a read-only copy."""
    owner = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    if owner is not None:
        array = array.copy()
        array.flags.writeable = False
    return array


def as_array(images: Any) -> np.ndarray | StoredImages:
    """Images that are in their files stay there."""
    return images if is_stored(images) else np.asarray(images)


def _check_images(images: np.ndarray) -> None:
    if images.dtype != np.uint8:
        found = str(images.dtype)
        if images.dtype.kind == "f" and images.size:
            # fmin and fmax pass NaN over, without the warning that nanmin gives for nothing but NaN.
            low, high = np.fmin.reduce(images, axis=None), np.fmax.reduce(images, axis=None)
            nan = "some of them NaN" if np.isnan(images).any() else "no NaN"
            found += f" with values {low:g} to {high:g}, {nan}"
        raise ValueError(f"images must be uint8 in raw pixel units, 0 to 255, got {found}")
    if images.ndim != 4:
        raise ValueError(f"images must have shape [N, H, W, C], got {images.shape}")
    if 0 in images.shape:
        raise ValueError(f"images must have at least one example, row, column and channel, got shape {images.shape}")


def _check_labels(labels: np.ndarray, n: int) -> None:
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape [N] = ({n},), one for each image, got {labels.shape}")
    # Checked before the cast to int32, which would wrap a large label around to a valid one.
    for index in (int(labels.argmin()), int(labels.argmax())):
        if not 0 <= labels[index] <= np.iinfo(np.int32).max:
            raise ValueError(f"labels must be class indices from 0 on, got {labels[index]} at index {index}")


def _checked_names(class_names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(class_names, str) or not class_names or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"class_names must be a non-empty sequence of strings, got {class_names!r}")
    return tuple(class_names)

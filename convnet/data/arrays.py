"""Datasets of one's own arrays."""

from collections.abc import Sequence

import numpy as np

from convnet.data.dataset import Dataset, Split, as_array
from convnet.data.splits import hold_out
from convnet.data.stored import StoredImages


def from_arrays(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    test_images: np.ndarray | None = None,
    test_labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Makes a `Dataset` of own arrays, holding out stratified validation and test splits that `seed` fixes.

    images: [N, H, W, C] or [N, H, W] uint8, or `StoredImages`. labels: [N] of any integer dtype.
    test_images, test_labels: an official test split, used as it is; without one, `test_fraction` of the images is held
    out for it. `validation_fraction` too is a fraction of all N images.
    class_names: by default "0", "1", … up to the largest label, each of which must then have an example.

    Raises ValueError for what `Split` and `Dataset` refuse, for a fraction outside (0, 1) or fractions that leave
    nothing to train on, for a split too small to have an example of every class, and for classes without any.
    """
    everything = Split(_with_channels(images), labels)
    if (test_images is None) != (test_labels is None):
        raise ValueError("test_images and test_labels must be given together")
    if test_images is None:
        rest, test = _divide(everything, "test_fraction", test_fraction, len(everything), seed)
    else:
        rest, test = everything, Split(_with_channels(test_images), test_labels)
    train, validation = _divide(rest, "validation_fraction", validation_fraction, len(everything), seed)
    if class_names is None:
        class_names = _numbered(np.union1d(everything.labels, test.labels))
    return Dataset(name, train, validation, test, class_names)


def _divide(split: Split, argument: str, fraction: float, total: int, seed: int) -> tuple[Split, Split]:
    """(kept, held): `fraction` of `total` examples of `split` held out, errors naming the `argument`."""
    if not 0 < fraction < 1:
        raise ValueError(f"{argument} must lie in (0, 1), got {fraction}")
    size = round(fraction * total)
    try:
        kept, held = hold_out(split.labels, size, seed=seed)
    except ValueError as error:
        raise ValueError(f"{argument} {fraction} of {total} examples cannot be held out: {error}") from error
    return split.take(kept), split.take(held)


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    """Names of the classes that `labels` (distinct, rising) number. Raises ValueError for a number without examples."""
    if len(labels) != labels[-1] + 1:
        missing = int(np.flatnonzero(labels != np.arange(len(labels)))[0])
        raise ValueError(
            f"labels must number the classes without a gap, got none of class {missing} and up to {labels[-1]}: "
            "give class_names, one for each class, if that is meant"
        )
    return tuple(str(label) for label in labels)


def _with_channels(images: np.ndarray | StoredImages) -> np.ndarray | StoredImages:
    images = as_array(images)
    return images[..., np.newaxis] if images.ndim == 3 else images

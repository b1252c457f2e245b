"""Datasets as arrays, batches as indices, augmentation as pure functions inside the compiled step.

`load` gives a `Dataset` of uint8 images. Nothing here is imported at the top that only one dataset needs:
`import convnet.data` loads neither scikit-learn nor TensorFlow Datasets.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convnet.data.augment import augment, center_crop, flip, normalize, random_crop, shift
from convnet.data.batching import batched_map, epoch_order, num_batches
from convnet.data.clutter import cluttered, crops, windows_with_and_without
from convnet.data.dataset import Dataset, Split, from_arrays
from convnet.data.digits import load_digits
from convnet.data.folder import UnreadableImages, from_folder
from convnet.data.given import check_images
from convnet.data.sizes import mixed_sizes, on_canvas
from convnet.data.splits import subset
from convnet.data.tfds import DatasetNotPrepared, load_cifar10, load_mnist
from convnet.settings import suggestion

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetNotPrepared",
    "Split",
    "UnreadableImages",
    "augment",
    "batched_map",
    "center_crop",
    "check_images",
    "cluttered",
    "crops",
    "epoch_order",
    "flip",
    "from_arrays",
    "from_folder",
    "load",
    "mixed_sizes",
    "normalize",
    "num_batches",
    "on_canvas",
    "random_crop",
    "shift",
    "windows_with_and_without",
]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "cifar10": load_cifar10,
}


def load(name: str, *, limit: int | None = None, cache_dir: Path | None = None) -> Dataset:
    """The dataset called `name`, one of DATASETS.

    limit: keep only so many training examples, a fixed subset stratified by class; validation and test stay whole.
    cache_dir: where decoded arrays are kept; by default CONVNET_CACHE_DIR, else the user's cache directory.

    Raises ValueError for an unknown name or a limit out of range, DatasetNotPrepared (a ValueError) where a dataset's
    files are not there.
    """
    if name not in DATASETS:
        raise ValueError(f"data.name is {name!r}: {suggestion(name, DATASETS)}")
    dataset = DATASETS[name](cache_dir=cache_dir)
    if limit is None:
        return dataset
    try:
        chosen = subset(dataset.train.labels, limit)
    except ValueError as error:
        raise ValueError(f"limit {limit} does not suit {name}: {error}") from error
    return replace(dataset, train=dataset.train.take(chosen))

"""Datasets as arrays, batches as indices, augmentation as pure functions inside the compiled step.

`load` gives a `Dataset` of uint8 images. Nothing here is imported at the top that only one dataset needs:
`import convnet.data` loads neither scikit-learn nor TensorFlow Datasets.
"""

from collections.abc import Callable
from pathlib import Path

from convnet.allocator import free_memory
from convnet.config import DataConfig
from convnet.data.arrays import from_arrays
from convnet.data.augment import alternating_flip, augment, center_crop, flip, normalize, random_crop, shift
from convnet.data.batching import batched_map, epoch_order, num_batches
from convnet.data.clutter import cluttered, crops, windows_with_and_without
from convnet.data.dataset import Dataset, Split
from convnet.data.digits import load_digits
from convnet.data.feed import StreamingNotInstalled
from convnet.data.folder import from_folder
from convnet.data.given import check_images
from convnet.data.sizes import mixed_sizes, on_canvas
from convnet.data.stored import StoredImages, UnreadableImages
from convnet.data.tfds import DatasetNotPrepared, load_cifar10, load_mnist
from convnet.data.views import averaged
from convnet.settings import require, suggestion

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetNotPrepared",
    "Split",
    "StoredImages",
    "StreamingNotInstalled",
    "UnreadableImages",
    "alternating_flip",
    "augment",
    "averaged",
    "batched_map",
    "center_crop",
    "check_images",
    "cluttered",
    "crops",
    "epoch_order",
    "flip",
    "for_training",
    "from_arrays",
    "from_config",
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
STORED = ("mnist", "cifar10")
"""Those whose images may stay in their files."""


def load(name: str, *, limit: int | None = None, stored: bool = False, cache_dir: Path | None = None) -> Dataset:
    """The dataset called `name`, one of DATASETS.

    limit: keep only so many training examples, a fixed subset stratified by class; validation and test stay whole.
    stored: leave the images in their files, and read each when it is asked for; the same data. The digits, which come
    with scikit-learn, are in memory all the same.
    cache_dir: where decoded arrays are kept; by default CONVNET_CACHE_DIR, else the user's cache directory.

    Raises ValueError for an unknown name or a limit out of range, DatasetNotPrepared (a ValueError) where a dataset's
    files are not there.
    """
    if name not in DATASETS:
        raise ValueError(f"data.name is {name!r}: {suggestion(name, DATASETS)}")
    options = {"stored": True} if stored and name in STORED else {}
    return DATASETS[name](cache_dir=cache_dir, **options).limited(limit)


FEEDS = ("auto", "resident", "streamed")
SHARE = 0.25
"""Of the memory that is free, what images may take that are there all the time."""


def for_training(config: DataConfig, feed: str = "auto") -> Dataset:
    """The data of `config`, in memory ("resident"), or in their files, from where batches are read ("streamed").

    "auto": a folder is streamed whose images would take more than a quarter of the memory that is free.

    Raises ValueError for another feed, and as `from_config` does.
    """
    require(feed in FEEDS, "feed", feed, f"one of {', '.join(FEEDS)}")
    if feed != "auto" or config.folder is None:
        return from_config(config, stored=feed == "streamed")
    dataset, free = from_config(config, stored=True), free_memory()
    return dataset if free is not None and dataset.nbytes > SHARE * free else from_config(config)


def from_config(config: DataConfig, *, stored: bool = False) -> Dataset:
    """The data that `config` names, or those of its folder. stored: leave the images in their files, as `load` does.

    Raises what `load` and `from_folder` raise, DatasetNotPrepared where there is no such folder, and ValueError for
    settings of folders without one.
    """
    if config.folder is None:
        for name in ("size", "skip_unreadable"):
            value = getattr(config, name)
            require(not value, f"data.{name}", value, "nothing where data.folder is not given")
        return load(config.name, limit=config.limit, stored=stored)
    if not Path(config.folder).is_dir():
        raise DatasetNotPrepared(f"data.folder is {config.folder!r}: expected a directory")
    dataset = from_folder(config.folder, size=config.size, skip_unreadable=config.skip_unreadable, stored=stored)
    return dataset.limited(None if config.limit is None else min(config.limit, len(dataset.train)))

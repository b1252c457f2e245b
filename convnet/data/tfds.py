"""MNIST and CIFAR-10, from TensorFlow Datasets' prepared files; the only home of tensorflow_datasets.

Reading takes prepared ArrayRecord files in TFDS_DATA_DIR and needs neither TensorFlow nor a network: nothing is ever
downloaded here. The images are decoded once and then come from the array cache, which needs no TFDS either.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convnet.data import cache
from convnet.data.dataset import Dataset, Split
from convnet.data.splits import hold_out
from convnet.progress import progress

_LAYOUT = 1  # to be raised when the hold-out or the order of the cached examples changes
_SPLITS = ("train", "validation", "test")
READING = ("tensorflow-datasets>=4.9.7", "array_record>=0.6", "importlib_resources>=6")
PREPARING = ("tensorflow>=2.18",)
"""The extras `tfds` and `prepare` of setup.cfg, spelled out: that works from a checkout and from a wheel alike."""
_PYTHON = shlex.quote(sys.executable or "python")
_READ = 256  # records per read: some tenths faster than one by one


class DatasetNotPrepared(ValueError):
    """The prepared files are missing, unreadable or not those expected; the message says how to get the dataset."""


@dataclass(frozen=True)
class Source:
    """A prepared dataset: its exact version, so that the order of its examples is fixed, and what it must hold."""

    name: str
    version: str
    train_size: int
    test_size: int
    class_names: tuple[str, ...]
    validation_size: int = 5_000


MNIST = Source("mnist", "3.0.1", 60_000, 10_000, tuple("0123456789"))
CIFAR10 = Source(
    "cifar10",
    "3.0.2",
    50_000,
    10_000,
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)


def load_mnist(*, cache_dir: Path | None = None) -> Dataset:
    """55,000 training, 5,000 validation and 10,000 test images [28, 28, 1] of handwritten digits."""
    return load_prepared(MNIST, cache_dir=cache_dir)


def load_cifar10(*, cache_dir: Path | None = None) -> Dataset:
    """45,000 training, 5,000 validation and 10,000 test images [32, 32, 3] of ten kinds of things."""
    return load_prepared(CIFAR10, cache_dir=cache_dir)


def load_prepared(source: Source, *, cache_dir: Path | None = None) -> Dataset:
    """The official test split as test, the official train split divided into train and a fixed stratified validation.

    Raises DatasetNotPrepared if the arrays are neither cached nor can be read from TFDS_DATA_DIR.
    """
    key = f"{source.name}-{source.version}-layout{_LAYOUT}"
    arrays = cache.load_or_build(key, lambda: _build(source), cache_dir=cache_dir)
    splits = {name: Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in _SPLITS}
    return Dataset(source.name, **splits, class_names=source.class_names)


def _build(source: Source) -> cache.Arrays:
    """The arrays to be cached: images and labels of each split, divided already so that no later load has to."""
    official, test = _decode(source)
    kept, held = hold_out(official.labels, source.validation_size)
    splits = zip(_SPLITS, (official.take(kept), official.take(held), test), strict=True)
    return {f"{name}_{part}": getattr(split, part) for name, split in splits for part in ("images", "labels")}


def _decode(source: Source) -> tuple[Split, Split]:
    """The official train and test splits, in the order of the prepared files."""
    folder = _prepared_folder(source)
    sizes = {"train": source.train_size, "test": source.test_size}
    # Whatever TFDS, ArrayRecord or the image decoder object to (each in its own exceptions), these files cannot be
    # used; the cause stays attached.
    try:
        with _without_opencv_advice(), progress(sum(sizes.values()), "image") as bar:
            bar.set_postfix_str(f"decoding {source.name}, once")
            train, test = (_read_split(folder, split, size, bar) for split, size in sizes.items())
    except ImportError as error:
        raise DatasetNotPrepared(_how_to_get(source, f"cannot be read, a package is missing: {error}")) from error
    except Exception as error:
        raise DatasetNotPrepared(_how_to_get(source, f"in {folder} cannot be read: {error}")) from error
    return train, test


def _read_split(folder: Path, split: str, size: int, bar) -> Split:
    import array_record.python.array_record_data_source  # noqa: F401  TFDS imports it late, and hides the reason
    import tensorflow_datasets as tfds

    # A builder made from the files themselves: unlike tfds.builder it looks for nothing else, here or on a network.
    builder = tfds.builder_from_directory(folder)
    records = builder.as_data_source(split=split)
    if len(records) != size:
        raise ValueError(f"{split} holds {len(records)} examples, expected {size}")
    images = np.empty((size, *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(size, np.int32)
    for start in range(0, size, _READ):
        examples = records.__getitems__(range(start, min(start + _READ, size)))
        for i, example in enumerate(examples, start):
            images[i], labels[i] = example["image"], example["label"]
        bar.update(len(examples))
    return Split(images, labels)


def _prepared_folder(source: Source) -> Path:
    """Where TFDS puts this version. Reads the environment now, which TFDS itself does at its import only."""
    data_dir = os.environ.get("TFDS_DATA_DIR")
    # Not pathlib's: for a user without a home directory it raises, where os.path leaves the ~.
    folder = Path(os.path.expanduser(data_dir or "~/tensorflow_datasets")) / source.name / source.version
    if not (folder / "dataset_info.json").is_file():
        hint = "" if data_dir else " (the default folder of TensorFlow Datasets; TFDS_DATA_DIR is not set)"
        raise DatasetNotPrepared(_how_to_get(source, f"is not prepared in {folder.parent.parent}{hint}"))
    return folder


def _how_to_get(source: Source, problem: str) -> str:
    return f"""{source.name} {source.version} {problem}
There are two ways to get it:
(1) Point the environment variable TFDS_DATA_DIR at a folder that holds it prepared in ArrayRecord format.
    Reading it needs: {_pip_install(READING)}
(2) Download and prepare it, into TFDS_DATA_DIR or else ~/tensorflow_datasets:
    {_pip_install(READING + PREPARING)}
    {_PYTHON} -c 'import tensorflow_datasets as tfds; \
tfds.builder("{source.name}:{source.version}", file_format="array_record").download_and_prepare()'"""


def _pip_install(packages: tuple[str, ...]) -> str:
    """A command for the environment that is running, whether convnet is installed there, and from what, or not."""
    return f"{_PYTHON} -m pip install {' '.join(map(shlex.quote, packages))}"


@contextmanager
def _without_opencv_advice() -> Iterator[None]:
    """Silences TFDS' advice to install OpenCV: decoding happens once, and Pillow takes seconds for it."""

    def keep(record: logging.LogRecord) -> bool:
        return "OpenCV is not installed" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)

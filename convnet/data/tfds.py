"""MNIST and CIFAR-10, from TensorFlow Datasets' prepared files; the only home of tensorflow_datasets.

Reading takes prepared ArrayRecord files in TFDS_DATA_DIR and needs neither TensorFlow nor a network: nothing is ever
downloaded here. The images are decoded once and then come from the array cache, which needs no TFDS either.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convnet.data import cache
from convnet.data.dataset import Dataset, Split
from convnet.data.splits import hold_out
from convnet.data.stored import StoredImages
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


def load_mnist(*, stored: bool = False, cache_dir: Path | None = None) -> Dataset:
    """55,000 training, 5,000 validation and 10,000 test images [28, 28, 1] of handwritten digits."""
    return load_prepared(MNIST, stored=stored, cache_dir=cache_dir)


def load_cifar10(*, stored: bool = False, cache_dir: Path | None = None) -> Dataset:
    """45,000 training, 5,000 validation and 10,000 test images [32, 32, 3] of ten kinds of things."""
    return load_prepared(CIFAR10, stored=stored, cache_dir=cache_dir)


def load_prepared(source: Source, *, stored: bool = False, cache_dir: Path | None = None) -> Dataset:
    """The official test split as test, the official train split divided into train and a fixed stratified validation.

    stored: leave the images where they are, from where each is read when it is asked for; the same data. That is the
    cache of decoded arrays, where an earlier load left one, else the prepared files; of these, the labels are read now,
    and kept for the next time.

    Raises DatasetNotPrepared if the arrays are neither cached nor can be read from TFDS_DATA_DIR.
    """
    key = f"{source.name}-{source.version}-layout{_LAYOUT}"
    if stored:
        decoded = cache.mapped(key, cache_dir=cache_dir)
        return _stored(source, cache_dir) if decoded is None else _decoded(source, *decoded)
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
    with _readable(source) as records, progress(source.train_size + source.test_size, "image") as bar:
        bar.set_postfix_str(f"decoding {source.name}, once")
        train, test = (_read_split(each, bar) for each in records)
    return train, test


def _read_split(records: Records, bar) -> Split:
    images, labels = np.empty((len(records), *records.shape), np.uint8), np.empty(len(records), np.int32)
    for start, examples in records.batches(bar):
        for i, example in enumerate(examples, start):
            images[i], labels[i] = example["image"], example["label"]
    return Split(images, labels)


def _decoded(source: Source, arrays: cache.Arrays, digest: str) -> Dataset:
    """The same splits, whose images stay in the cache's file."""

    def split(name: str) -> Split:
        images = Decoded(arrays[f"{name}_images"], f"{digest} {name}")
        return Split(StoredImages(images, images.pixels.shape[1:]), np.array(arrays[f"{name}_labels"]))

    return Dataset(source.name, **{name: split(name) for name in _SPLITS}, class_names=source.class_names)


class Decoded:
    """Images [N, H, W, C] of a file that is mapped into memory, a source of `StoredImages`."""

    def __init__(self, pixels: np.ndarray, fingerprint: str):
        self.pixels, self.fingerprint = pixels, fingerprint

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> np.ndarray:
        return np.array(self.pixels[i])

    def __getitems__(self, rows: Sequence[int]) -> np.ndarray:
        """Several at once: [n, H, W, C]."""
        return self.pixels[np.asarray(rows)]


def _stored(source: Source, cache_dir: Path | None) -> Dataset:
    """The same splits, of which the labels are in memory."""
    with _readable(source) as (train, test):
        labels = cache.load_or_build(
            f"{source.name}-{source.version}-labels-{train.fingerprint[:16]}",
            lambda: {"train": train.labels(), "test": test.labels()},
            cache_dir=cache_dir,
        )
    official, kept_and_held = StoredImages(train, train.shape), hold_out(labels["train"], source.validation_size)
    kept, held = (Split(official.take(rows), labels["train"][rows]) for rows in kept_and_held)
    return Dataset(source.name, kept, held, Split(StoredImages(test, test.shape), labels["test"]), source.class_names)


@contextmanager
def _readable(source: Source) -> Iterator[tuple[Records, Records]]:
    """The official train and test splits; whatever goes wrong with them in between is a DatasetNotPrepared."""
    folder = _prepared_folder(source)
    # Whatever TFDS, ArrayRecord or the image decoder object to (each in its own exceptions), these files cannot be
    # used; the cause stays attached.
    try:
        with _without_opencv_advice():
            yield tuple(
                Records(folder, split, size)
                for split, size in (("train", source.train_size), ("test", source.test_size))
            )
    except ImportError as error:
        raise DatasetNotPrepared(_how_to_get(source, f"cannot be read, a package is missing: {error}")) from error
    except Exception as error:
        raise DatasetNotPrepared(_how_to_get(source, f"in {folder} cannot be read: {error}")) from error


class Records:
    """A prepared split, a source of `StoredImages`: image by image from the files in `folder`. size: what it holds."""

    def __init__(self, folder: Path, split: str, size: int):
        import array_record.python.array_record_data_source  # noqa: F401  TFDS imports it late, and hides the reason
        import tensorflow_datasets as tfds

        # A builder made from the files themselves: unlike tfds.builder it looks for nothing else, here or elsewhere.
        builder = tfds.builder_from_directory(folder)
        self.folder, self.split, self.shape = folder, split, tuple(builder.info.features["image"].shape)
        self._records = builder.as_data_source(split=split)
        self._encoded = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        if len(self) != size:
            raise ValueError(f"{split} holds {len(self)} examples, expected {size}")
        self[0]  # TFDS gives its advice about decoders now, if it does

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: int) -> np.ndarray:
        return self._records[i]["image"]

    def __getitems__(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Several at once, which is three times as fast."""
        return [example["image"] for example in self._records.__getitems__(rows)]

    def describe(self, i: int) -> str:
        return f"{self.folder}, {self.split} record {i}"

    def labels(self) -> np.ndarray:
        """[N] int32, without an image decoded."""
        with progress(len(self), "label") as bar:
            found = [example["label"] for _, part in self.batches(bar, self._encoded) for example in part]
        return np.array(found, np.int32)

    def batches(self, bar, records=None) -> Iterator[tuple[int, list[dict]]]:
        """(number of the first, examples), some at a time; `bar` is told of them."""
        records = self._records if records is None else records
        for start in range(0, len(self), _READ):
            examples = records.__getitems__(range(start, min(start + _READ, len(self))))
            yield start, examples
            bar.update(len(examples))

    @property
    def fingerprint(self) -> str:
        """Of names, lengths and times of the prepared files."""
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(self.folder.iterdir())]
        return hashlib.sha256(repr((_LAYOUT, self.split, files)).encode()).hexdigest()


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

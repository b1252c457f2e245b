"""A folder of images that stay in their files: what is known of it without holding it, and kept for the next time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np

from convnet.data import cache
from convnet.data.dataset import Dataset, Split
from convnet.data.decoding import ImageFiles, header, pixels
from convnet.data.stored import StoredImages, UnreadableImages
from convnet.progress import progress
from convnet.threads import processors

Files = list[tuple[Path, str]]
"""(file, class) of each image, in order."""
ADVICE = "skip_unreadable leaves them out"
_UNREADABLE = (0, 0, 0)


class StoredFolder:
    """The files of each split in `root`, of the classes `names`. size: (H, W) or None; channels: 1, 3 or None."""

    def __init__(
        self,
        root: Path,
        files: dict[str, Files],
        names: Sequence[str],
        size: tuple[int, int] | None,
        channels: int | None,
    ):
        self.size, self.channels = size, channels
        everything = [file for part in files.values() for file in part]
        numbers = {name: number for number, name in enumerate(names)}
        self.labels = np.array([numbers[label] for _, label in everything])
        ends = np.cumsum(list(map(len, files.values())))
        self.parts = {name: np.arange(end - len(files[name]), end) for name, end in zip(files, ends, strict=True)}
        # Absolute: the process may be in another directory when images are read.
        self.source = ImageFiles(root.absolute(), [os.path.relpath(path, root) for path, _ in everything], size)
        self.paths = [self.source.describe(number) for number in range(len(everything))]

    def dataset(
        self, made: Callable[[dict[str, Split]], Dataset], skip: bool, settings: Sequence
    ) -> tuple[Dataset, dict[str, str]]:
        """The dataset that is `made` of the splits, and why files were left out.

        skip: whether those that cannot be read are to be left out; else UnreadableImages lists them. settings: whatever
        else decides which files are read, for the key under which what was found is kept.
        """
        found: dict[str, Dataset] = {}

        def look() -> cache.Arrays:
            headers = self._headers()
            found["dataset"], failures = self._passed(made, skip, headers)
            numbered = [(number, failures[path]) for number, path in enumerate(self.paths) if path in failures]
            return {"headers": headers, "failures": np.frombuffer(json.dumps(numbered).encode(), np.uint8)}

        sizes = list(map(len, self.parts.values()))
        key = sha256(repr((self.source.fingerprint, self.channels, sizes, skip, *settings)).encode()).hexdigest()[:32]
        kept = cache.load_or_build(f"folder-{key}", look)
        failures = {self.paths[number]: why for number, why in json.loads(kept["failures"].tobytes())}
        return found.get("dataset") or made(self._splits(kept["headers"], failures)), failures

    def _passed(self, made, skip: bool, headers: np.ndarray) -> tuple[Dataset, dict[str, str]]:
        """The dataset of all files that can be read, which has read them all, and why the others cannot be."""
        failures = self._unreadable(headers)
        while True:
            before, problem = failures, None
            try:
                dataset = made(self._splits(headers, failures))
                _ = dataset.digest
            except UnreadableImages as error:
                found = failures | error.failures
                failures = {path: found[path] for path in self.paths if path in found}
            except ValueError as error:
                problem = error
            if failures and not skip:  # also rather than a problem that follows from them
                raise UnreadableImages(failures, ADVICE)
            if problem is not None:
                raise problem
            if failures is before:
                return dataset, failures

    def _headers(self) -> np.ndarray:
        """[files, 3] int32: height, width, whether grey; zeros for what is no image."""

        def look(path: str) -> tuple[int, int, int]:
            try:
                return header(path)
            except Exception:  # of Pillow's formats each raises its own
                return _UNREADABLE

        with progress(len(self.paths), "file") as bar, ThreadPoolExecutor(processors()) as pool:
            bar.set_postfix_str("looking at what images there are, once")
            found = []
            for one in pool.map(look, self.paths):
                found.append(one)
                bar.update()
        return np.array(found, np.int32).reshape(-1, 3)

    def _unreadable(self, headers: np.ndarray) -> dict[str, str]:
        failures = {}
        for at in np.flatnonzero(headers[:, 0] == 0):
            try:
                header(self.paths[at])
            except Exception as error:
                failures[self.paths[at]] = str(error)
        return failures

    def _splits(self, headers: np.ndarray, left_out: Collection[str]) -> dict[str, Split]:
        """Of the files but for those left out."""
        kept = np.array([path not in left_out for path in self.paths])
        channels = self.channels or (1 if headers[kept, 2].all() else 3)
        return {name: self._split(part[kept[part]], headers, channels) for name, part in self.parts.items()}

    def _split(self, rows: np.ndarray, headers: np.ndarray, channels: int) -> Split:
        shape = self.size
        if shape is None or not len(rows):
            one_size(map(tuple, np.unique(headers[rows, :2], axis=0).tolist()))
        if shape is None:
            shape = _shape(self.paths[rows[0]], headers[rows[0]])
        images = StoredImages(self.source.in_channels(channels), (*shape, channels), rows=rows)
        return Split(images, self.labels[rows])


def _shape(path: str, told: np.ndarray) -> tuple[int, int]:
    """Height and width of the image, as EXIF behind the pixels may have turned it, too; as told where it is torn."""
    try:
        return pixels(path, None).shape[:2]
    except Exception:  # of Pillow's decoders each has its own
        return int(told[0]), int(told[1])


def one_size(sizes: Iterable[tuple[int, int]]) -> None:
    """Raises ValueError for images (height, width) of several sizes, and for none."""
    shapes = sorted(set(sizes))
    if len(shapes) > 1:
        told = " and ".join(f"{height}×{width}" for height, width in shapes[:2])
        raise ValueError(f"images have sizes of {told} pixels: expected one, or size= to cut them to")
    if not shapes:
        raise ValueError("a split holds no image that can be read")

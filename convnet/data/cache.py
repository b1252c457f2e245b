"""A checksummed cache of arrays: one file per key, written whole or not at all, verified at every load.

A cache is a convenience and must never decide a result: a damaged file is rebuilt, and a folder that cannot be written
costs time only. Both are logged as warnings.

The file: a line that names the format, a line with the SHA-256 of everything after it, a line of JSON (the key, and
each array's name, dtype and shape), then the arrays' bytes. No pickle, and one read gives all arrays without a copy.
"""

import hashlib
import json
import logging
import math
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_FORMAT = 1
_MAGIC = f"convnet array cache {_FORMAT}\n".encode()
_PART = 2**22  # bytes read at a time
_ALIGNMENT = 64  # of every array in the file, so that the views of it are as good as arrays of their own
_log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


class DamagedCacheError(ValueError):
    """A cache file that is not what was written."""


def cache_directory(cache_dir: Path | None = None) -> Path:
    """`cache_dir` if given, else CONVNET_CACHE_DIR if set, else convnet's folder in the user's cache directory.

    Raises OSError for a user who has no home directory to hold it, as in many containers.
    """
    if cache_dir is not None:
        return Path(cache_dir)
    from platformdirs import user_cache_dir

    try:
        if from_environment := os.environ.get("CONVNET_CACHE_DIR"):
            return Path(from_environment).expanduser()
        return Path(user_cache_dir("convnet"))
    except RuntimeError as error:
        raise OSError(f"{error}; CONVNET_CACHE_DIR names a folder that needs none") from error


def load_or_build(key: str, build: Callable[[], Arrays], *, cache_dir: Path | None = None) -> Arrays:
    """The arrays cached under `key`; if there are none, or damaged ones, those of `build`, which are then cached.

    key: a file name without suffix; everything that decides the arrays' content belongs in it, versions above all.
    """
    try:
        path = cache_directory(cache_dir) / f"{key}.v{_FORMAT}.arrays"
    except OSError as error:
        _log.warning("cannot cache arrays, going on without: %s", error)
        return build()
    try:
        return read(path, key)
    except FileNotFoundError:
        pass
    except (DamagedCacheError, OSError) as error:
        _log.warning("cannot use the cached arrays in %s, building them anew: %s", path, error)
    arrays = build()
    try:
        write(path, key, arrays)
    except OSError as error:
        _log.warning("cannot cache arrays in %s, going on without: %s", path, error)
    return arrays


def mapped(key: str, *, cache_dir: Path | None = None) -> tuple[Arrays, str] | None:
    """The arrays cached under `key`, left in their file and read where they are looked at, and that file's SHA-256;
    None where there are none, or damaged ones. The whole file is read once, to see that."""
    try:
        path = cache_directory(cache_dir) / f"{key}.v{_FORMAT}.arrays"
        with open(path, "rb") as file:
            magic, digest, header = file.readline(), file.readline(), file.readline()
            start = file.tell()
            found = hashlib.sha256(header)
            while part := file.read(_PART):
                found.update(part)
        fields = json.loads(header)
        whole = magic == _MAGIC and digest == found.hexdigest().encode() + b"\n" and fields["key"] == key
    except (OSError, ValueError, KeyError):
        return None
    if not whole:
        return None
    return _views(np.memmap(path, np.uint8, "r", offset=start), fields["arrays"]), found.hexdigest()


def write(path: Path, key: str, arrays: Arrays) -> None:
    """Puts the arrays into the file at `path`, in one step: no reader ever sees a part of it.

    Raises OSError if the file cannot be written, ValueError for an array of objects.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"arrays[{name!r}] must be of a plain numeric dtype, got {array.dtype}")
    parts = _lay_out(key, arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within a file system; with a name of its own, because
    # several processes may build at once (each replaces the file by an equal one).
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            for part in [_MAGIC, _digest(parts), *parts]:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, key: str) -> Arrays:
    """The arrays in the file at `path`, as views of one buffer.

    Raises FileNotFoundError or another OSError, and DamagedCacheError if the file is not what was written for `key`.
    """
    with open(path, "rb") as file:
        magic, digest, header = file.readline(), file.readline(), file.readline()
        payload = np.fromfile(file, np.uint8)
    payload.flags.writeable = False  # so that whoever keeps a view of it need not copy
    if magic != _MAGIC:
        raise DamagedCacheError("it is not a cache file of this format")
    if digest != _digest([header, payload]):
        raise DamagedCacheError("its content does not match its SHA-256")
    # From here on the content is trusted: it is byte for byte what `write` wrote.
    fields = json.loads(header)
    if fields["key"] != key:
        raise DamagedCacheError(f"it holds the arrays of {fields['key']!r}")
    return _views(payload, fields["arrays"])


def _lay_out(key: str, arrays: Arrays) -> list[bytes | np.ndarray]:
    """Header and payload in order, each array with its padding after it."""
    described = [{"name": name, "dtype": array.dtype.str, "shape": array.shape} for name, array in arrays.items()]
    parts = [json.dumps({"key": key, "arrays": described}).encode() + b"\n"]
    for array in arrays.values():
        parts += [array.reshape(-1).view(np.uint8), bytes(-array.nbytes % _ALIGNMENT)]
    return parts


def _views(payload: np.ndarray, described: list[dict]) -> Arrays:
    """The arrays that `_lay_out` put into the payload."""
    arrays, start = {}, 0
    for entry in described:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        size = dtype.itemsize * math.prod(shape)
        arrays[entry["name"]] = payload[start : start + size].view(dtype).reshape(shape)
        start += size + -size % _ALIGNMENT
    return arrays


def _digest(parts: Sequence[bytes | np.ndarray]) -> bytes:
    """The file's second line."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode() + b"\n"

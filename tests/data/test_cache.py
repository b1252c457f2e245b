import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from convnet.data import cache


@pytest.fixture
def arrays(rng):
    return {
        "images": rng.integers(0, 256, (7, 3, 5, 1), dtype=np.uint8),
        "labels": rng.integers(0, 10, 7).astype(np.int32),
        "scalar": np.float64(0.5),
    }


class Build:
    """Counts how often it is called."""

    def __init__(self, arrays):
        self.arrays, self.calls = arrays, 0

    def __call__(self):
        self.calls += 1
        return self.arrays


def _assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def _only_file(folder):
    (path,) = folder.iterdir()
    return path


@pytest.fixture
def filled(tmp_path, arrays):
    """A cache folder with the arrays under "key", and the file in it."""
    folder = tmp_path / "filled"
    cache.load_or_build("key", lambda: arrays, cache_dir=folder)
    return folder, _only_file(folder)


def test_second_load_comes_from_the_file(tmp_path, arrays, caplog):
    build = Build(arrays)
    for _ in range(3):
        _assert_equal(cache.load_or_build("key", build, cache_dir=tmp_path / "new" / "folder"), arrays)
    assert build.calls == 1
    assert not caplog.records


def test_keys_do_not_mix(filled, arrays):
    folder, _ = filled
    other = {"images": arrays["images"][:2]}
    _assert_equal(cache.load_or_build("other", lambda: other, cache_dir=folder), other)
    _assert_equal(cache.load_or_build("key", Build(None), cache_dir=folder), arrays)


def test_loaded_arrays_are_aligned_and_nobody_else_writes_to_them(filled):
    folder, _ = filled
    loaded = cache.load_or_build("key", Build(None), cache_dir=folder)
    for array in loaded.values():
        assert array.flags.aligned
        assert not array.flags.writeable


def test_arrays_of_any_memory_order_are_kept(tmp_path, arrays):
    strided = {"images": np.asfortranarray(arrays["images"])[::2], "labels": arrays["labels"][::-1]}
    cache.load_or_build("key", lambda: strided, cache_dir=tmp_path)
    _assert_equal(cache.load_or_build("key", Build(None), cache_dir=tmp_path), strided)


def test_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"arrays\['names'\] must be of a plain numeric dtype, got object"):
        cache.load_or_build("key", lambda: {"names": np.array(["a", None])}, cache_dir=tmp_path)
    assert not list(tmp_path.glob("*.arrays"))


def _flip(position):
    def damage(content):
        changed = bytearray(content)
        changed[position % len(content)] ^= 1
        return bytes(changed)

    return damage


DAMAGES = {
    "first byte": _flip(0),
    "digest": _flip(30),
    "header": _flip(100),
    "middle": lambda content: _flip(len(content) // 2)(content),
    "last byte": _flip(-1),
    "cut by one": lambda content: content[:-1],
    "cut in half": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:90],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "garbage": lambda content: np.random.default_rng(1).bytes(len(content)),
    "text": lambda content: b"hello\nworld\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_file_is_named_rebuilt_and_sound_again(filled, arrays, caplog, damage):
    folder, path = filled
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    build = Build(arrays)
    _assert_equal(cache.load_or_build("key", build, cache_dir=folder), arrays)
    assert build.calls == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path) in record.getMessage()
    assert path.read_bytes() == sound


def test_every_single_byte_is_guarded(filled):
    _, path = filled
    sound = path.read_bytes()
    for position in range(len(sound)):
        path.write_bytes(_flip(position)(sound))
        with pytest.raises(cache.DamagedCacheError, match=r"not a cache file|does not match"):
            cache.read(path, "key")


def test_file_of_another_key_is_not_taken(filled, arrays, caplog):
    folder, path = filled
    os.rename(path, path.with_name(path.name.replace("key", "renamed")))
    other = {"images": arrays["images"][:2]}
    _assert_equal(cache.load_or_build("renamed", lambda: other, cache_dir=folder), other)
    assert "it holds the arrays of 'key'" in caplog.text


def test_failing_replace_leaves_nothing_behind(tmp_path, arrays, monkeypatch, caplog):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    _assert_equal(cache.load_or_build("key", lambda: arrays, cache_dir=tmp_path / "folder"), arrays)
    assert list((tmp_path / "folder").iterdir()) == []
    assert "No space left on device" in caplog.text


def test_interrupted_write_leaves_nothing_behind_and_goes_on_up(tmp_path, arrays, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.load_or_build("key", lambda: arrays, cache_dir=tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_failed_rewrite_keeps_the_old_file(filled, arrays, monkeypatch):
    _, path = filled
    sound = path.read_bytes()

    def fail(source, target):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no"):
        cache.write(path, "key", {"images": arrays["images"][:1]})
    assert path.read_bytes() == sound
    assert _only_file(path.parent) == path


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_file_in_place_of_the_folder_costs_a_warning_only(tmp_path, arrays, caplog, inside):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    _assert_equal(cache.load_or_build("key", lambda: arrays, cache_dir=blocked / inside), arrays)
    assert "cannot cache arrays in" in caplog.text
    assert blocked.read_text() == "not a folder"


def test_a_folder_in_place_of_the_file_costs_a_warning_only(filled, arrays, caplog):
    folder, path = filled
    path.unlink()
    path.mkdir()
    _assert_equal(cache.load_or_build("key", lambda: arrays, cache_dir=folder), arrays)
    assert "cannot cache arrays in" in caplog.text
    assert _only_file(folder) == path


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_without_permission_costs_a_warning_only(tmp_path, arrays, caplog):
    tmp_path.chmod(0o500)
    try:
        _assert_equal(cache.load_or_build("key", lambda: arrays, cache_dir=tmp_path), arrays)
    finally:
        tmp_path.chmod(0o700)
    assert "cannot cache arrays in" in caplog.text


def test_errors_of_the_builder_are_not_swallowed(tmp_path):
    def build():
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        cache.load_or_build("key", build, cache_dir=tmp_path)


def test_two_threads_building_at_once_both_get_the_arrays(tmp_path, arrays, caplog):
    together = threading.Barrier(2, timeout=20)
    results = []

    def build():
        together.wait()  # both have found no file
        return arrays

    threads = [
        threading.Thread(target=lambda: results.append(cache.load_or_build("key", build, cache_dir=tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for result in results:
        _assert_equal(result, arrays)
    _assert_equal(cache.read(_only_file(tmp_path), "key"), arrays)
    assert not caplog.records


def test_two_processes_writing_over_and_over_never_show_a_reader_half_a_file(tmp_path):
    program = """
import sys, numpy as np
from pathlib import Path
from convnet.data import cache
for _ in range(20):
    cache.write(Path(sys.argv[1]), "key", {"a": np.full(200_000, int(sys.argv[2]), np.uint8)})
"""
    path = tmp_path / "shared"
    cache.write(path, "key", {"a": np.full(200_000, 1, np.uint8)})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(value)], env=environment) for value in (1, 2)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen |= set(cache.read(path, "key")["a"].tolist())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {1, 2}
    assert _only_file(tmp_path) == path


def test_directory_is_the_argument_then_the_environment_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVNET_CACHE_DIR", str(tmp_path / "from environment"))
    assert cache.cache_directory(tmp_path / "argument") == tmp_path / "argument"
    assert cache.cache_directory() == tmp_path / "from environment"
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for unset in (lambda: monkeypatch.setenv("CONVNET_CACHE_DIR", ""), lambda: monkeypatch.delenv("CONVNET_CACHE_DIR")):
        unset()
        assert cache.cache_directory().is_relative_to(Path.home())
        assert "convnet" in cache.cache_directory().parts


def test_a_user_without_a_home_goes_without_a_cache(homeless, caplog):
    arrays = cache.load_or_build("some", lambda: {"a": np.arange(3)})
    assert arrays["a"].tolist() == [0, 1, 2]
    assert "cannot cache arrays, going on without" in caplog.text
    assert "CONVNET_CACHE_DIR names a folder that needs none" in caplog.text


def test_but_may_name_a_folder(homeless, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CONVNET_CACHE_DIR", str(tmp_path))
    cache.load_or_build("some", lambda: {"a": np.arange(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["some.v1.arrays"]
    assert caplog.text == ""

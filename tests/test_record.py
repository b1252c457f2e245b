"""What a run leaves behind: complete files or none, and hashes that see every bit."""

import json
import os
import stat
import sys
from datetime import datetime, timedelta

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import record
from convnet.identity import environment
from convnet.record import (
    RunDirectory,
    check_writable,
    metrics_hash,
    parameter_hash,
    read_manifest,
    read_metrics,
    write_atomically,
    write_json,
)


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def broken(*args, **kwargs):
    raise OSError(28, "No space left on device")


# --- atomic writes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"), [("naïve\n", "naïve\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_a_write_replaces_the_file(content, expected, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"something longer than what follows")
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_written_file_has_the_permissions_of_the_users_other_files(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(call, error, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise error("no")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match="no"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_the_file_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    """Else a crash could leave the new name on an empty file."""
    calls = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)
        monkeypatch.setattr(os, call, lambda *a, call=call, real=real: calls.append(call) or real(*a))
    write_atomically(tmp_path / "file", "x")
    assert calls == ["fsync", "replace"]


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "manifest.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert names(tmp_path) == ["manifest.json"]


def test_json_is_readable_text(tmp_path):
    write_json(tmp_path / "x.json", {"b": [1, 2.5, None], "a": "ä"})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"b": [1, 2.5, None], "a": "ä"}
    assert text.endswith("}\n")
    assert text.index('"b"') < text.index('"a"')  # in the order given


# --- check_writable ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [".", "new", "new/and/deeper"])
def test_a_place_that_can_be_written_is_accepted_and_left_as_it_was(path, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    check_writable(tmp_path / path)
    assert names(tmp_path) == ["kept", "kept/file"]


@pytest.mark.parametrize("path", ["file", "file/below", "file/far/below", "dangling"])
def test_a_place_where_no_directory_can_be_is_refused(path, tmp_path):
    """A file where a directory is needed: that stops even root, for whom permissions do not count."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=rf"^out is '{tmp_path / path}': cannot be written \(.+\)$"):
        check_writable(tmp_path / path)
    assert names(tmp_path) == ["dangling", "file"]
    assert (tmp_path / "file").read_text() == "x"


def test_a_directory_without_room_is_refused_and_what_was_created_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(record.tempfile, "TemporaryFile", broken)
    with pytest.raises(ValueError, match=r"new/deeper': cannot be written \(No space left on device\)"):
        check_writable(tmp_path / "new" / "deeper")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ValueError, match="cannot be written"):
            check_writable(tmp_path / "new")
    finally:
        tmp_path.chmod(0o755)


# --- run directories --------------------------------------------------------------------------------------------------

IDENTITY = {"config": {"seed": 3}}


def test_the_manifest_is_there_from_the_start(tmp_path):
    run = RunDirectory(tmp_path / "a" / "b", IDENTITY)
    manifest = json.loads((tmp_path / "a" / "b" / "manifest.json").read_text())
    assert set(manifest) == {"config", "status", *environment()}
    assert (manifest["config"], manifest["status"]) == ({"seed": 3}, "running")
    assert manifest == run.manifest == read_manifest(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == ["manifest.json", "metrics.jsonl"]


def test_the_manifest_is_completed_at_the_end(tmp_path):
    run = RunDirectory(tmp_path, IDENTITY)
    start = read_manifest(tmp_path)
    run.finish("finished", parameters=7, compile_seconds=0.5)
    manifest = read_manifest(tmp_path)
    assert set(manifest) == start.keys() | {"ended", "parameters", "compile_seconds"}
    assert (manifest["status"], manifest["parameters"], manifest["compile_seconds"]) == ("finished", 7, 0.5)
    assert {name: manifest[name] for name in start} == {**start, "status": "finished"}
    started, ended = (datetime.fromisoformat(manifest[name]) for name in ("started", "ended"))
    assert started <= ended
    assert started.utcoffset() == timedelta(0)


def test_an_end_that_cannot_be_written_leaves_the_start(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path, {})
    start = read_manifest(tmp_path)
    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space left"):
        run.finish("finished")
    assert read_manifest(tmp_path) == start
    assert names(tmp_path) == ["manifest.json", "metrics.jsonl"]


def test_metrics_are_lines_of_json_on_disk_at_once(tmp_path):
    run, written = RunDirectory(tmp_path, {}), []
    for epoch in (1, 2, 3):
        written.append({"epoch": epoch, "loss": 1 / 3, "name": "a\nb"})
        run.metrics(written[-1])
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == written


def test_a_run_started_anew_starts_its_metrics_anew(tmp_path):
    RunDirectory(tmp_path, {}).metrics({"epoch": 1})
    run = RunDirectory(tmp_path, {})
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    run.metrics({"epoch": 1})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n'


def test_a_line_of_metrics_that_finds_no_room_is_not_there_at_all(tmp_path, monkeypatch):
    """The disk takes half of it before it is full."""
    run = RunDirectory(tmp_path, {})
    run.metrics({"epoch": 1})
    position = run.position
    monkeypatch.setattr(record.Path, "open", lambda path, mode: Full(path))
    with pytest.raises(OSError, match="No space left on device: the metrics end before this line; the run can be res"):
        run.metrics({"epoch": 2})
    monkeypatch.undo()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n'
    assert run.position == position
    run.metrics({"epoch": 2})
    assert read_metrics(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


class Full:
    """A file on a disk that takes five bytes more."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, line):
        with open(self.path, "ab") as file:
            file.write(line[:5])
        broken()


def test_metrics_are_cut_back_to_a_position(tmp_path):
    run = RunDirectory(tmp_path, {})
    run.metrics({"epoch": 1})
    position = run.position
    run.metrics({"epoch": 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    again = RunDirectory(tmp_path, {}, resume=True)
    assert again.rewind(position) == [{"epoch": 1}]
    assert again.position == position
    again.metrics({"epoch": 2})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert again.position == run.position
    assert again.rewind(None) == []
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_metrics_that_do_not_reach_the_position_are_refused_and_kept(tmp_path):
    run = RunDirectory(tmp_path, {})
    run.metrics({"epoch": 1})
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 7}\nmore')
    with pytest.raises(ValueError, match=r"metrics\.jsonl is not what it was when the checkpoint was saved"):
        run.rewind(run.position)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 7}\nmore'


@pytest.mark.parametrize("torn", ["", "{", '{"epoch": 3}', '{"epoch": 3, "name": "\\u00'])
def test_a_torn_last_line_is_not_read(torn, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n' + torn)
    assert read_metrics(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


def test_a_torn_line_in_the_middle_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1\n{"epoch": 2}\n')
    with pytest.raises(ValueError, match="delimiter"):
        read_metrics(tmp_path)


def test_the_metrics_hash_sees_everything_but_the_times():
    lines = [{"epoch": 1, "loss": 0.1, "seconds": 2.0}, {"epoch": 2, "loss": 0.2, "seconds": 2.0}]
    same = [{"seconds": 9.0, "loss": 0.1, "epoch": 1}, lines[1]]
    assert metrics_hash(lines) == metrics_hash(same)
    nearly = np.nextafter(0.1, 1)
    for other in ([{**lines[0], "loss": nearly}, lines[1]], lines[:1], lines[::-1], [{**lines[0], "new": 1}, lines[1]]):
        assert metrics_hash(other) != metrics_hash(lines)


def test_a_resumed_run_keeps_the_manifest_of_its_start(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path, IDENTITY)
    start = read_manifest(tmp_path)
    run.finish("failed", reason="no room")
    monkeypatch.setattr(sys, "argv", ["again.py", "--resume"])
    monkeypatch.setenv("XLA_FLAGS", "--other=1")
    manifest = RunDirectory(tmp_path, IDENTITY, resume=True).manifest
    assert manifest == read_manifest(tmp_path)
    (resumed,) = manifest.pop("resumed")
    assert manifest == start  # running again, without the end of the first attempt
    assert resumed["command"] == "again.py --resume"
    assert resumed["changed"] == {"flags.XLA_FLAGS": [start["flags"].get("XLA_FLAGS"), "--other=1"]}
    assert len(RunDirectory(tmp_path, IDENTITY, resume=True).manifest["resumed"]) == 2


@pytest.mark.parametrize("content", [None, "", "{", b"\xff\xfe"], ids=["none", "empty", "half", "not text"])
def test_a_manifest_that_cannot_be_read_is_none(content, tmp_path):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_manifest(tmp_path) is None


# --- parameter hash ---------------------------------------------------------------------------------------------------

PARAMS = {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "dense": {"bias": np.zeros(2, np.float32)}}


def changed(layer, name, value):
    return {**PARAMS, layer: {name: value}}


def one_bit(array, position=0):
    flipped = array.copy()
    flipped.view(np.uint8).reshape(-1)[position] ^= 1
    return flipped


def test_the_parameter_hash_is_pinned():
    """It is compared across machines and releases."""
    assert parameter_hash(PARAMS) == "6f4cb7255ad112fd1d7990329de1a7b3eeb6e1d2e627d96708e1eae5a6ba62f3"


KERNEL = PARAMS["conv"]["kernel"]
DIFFERENT = {
    "one bit": changed("conv", "kernel", one_bit(KERNEL)),
    "the last bit": changed("conv", "kernel", one_bit(KERNEL, KERNEL.nbytes - 1)),
    "the sign of a zero": changed("dense", "bias", -PARAMS["dense"]["bias"]),
    "shape": changed("conv", "kernel", KERNEL.reshape(3, 2)),
    "dtype of equal bytes": changed("dense", "bias", np.zeros(2, np.int32)),
    "dtype of equal values": changed("dense", "bias", np.zeros(2, np.float64)),
    "a name": {"conv": PARAMS["conv"], "dense": {"gain": PARAMS["dense"]["bias"]}},
    "a layer's name": {"conv": PARAMS["conv"], "dense2": PARAMS["dense"]},
    "one layer less": {"conv": PARAMS["conv"]},
    "one layer more": {**PARAMS, "more": {"bias": np.zeros(0, np.float32)}},
    "swapped": {"conv": PARAMS["dense"], "dense": PARAMS["conv"]},
}


@pytest.mark.parametrize("params", DIFFERENT.values(), ids=DIFFERENT)
def test_the_parameter_hash_changes_with(params):
    assert parameter_hash(params) != parameter_hash(PARAMS)


def test_the_parameter_hash_is_of_the_values_not_of_their_container():
    expected = parameter_hash(PARAMS)
    assert parameter_hash(jax.tree.map(jnp.asarray, PARAMS)) == expected
    assert parameter_hash(dict(reversed(PARAMS.items()))) == expected
    assert parameter_hash(changed("conv", "kernel", np.asfortranarray(KERNEL))) == expected
    nan = {"w": np.float32([np.nan])}
    assert parameter_hash(nan) == parameter_hash({"w": np.float32([np.nan])})
    assert parameter_hash({"w": jnp.ones(2, jnp.bfloat16)}) != parameter_hash({"w": jnp.ones(2, jnp.float16)})

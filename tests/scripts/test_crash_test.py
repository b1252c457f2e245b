"""Real processes, really killed; and the test of the test: a result that was changed or lost is counted."""

import json
import random
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from convnet.record import read_manifest, read_metrics
from scripts import crash_test, crash_worker

EPOCHS = 4


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Left alone, in this process: what it compiles, the processes that are killed and resumed read."""
    path = tmp_path_factory.mktemp("crash") / "reference"
    crash_worker.main(str(path), str(EPOCHS))
    return path


SWEPT = [("metrics", 3, 0.5, 2), ("metrics", 1, 0.99, 0), ("between", 3, 0, 3), ("result", 4, 0, 4)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "epoch", "fraction", "lines"),
    [("saving", 2, 0, 2), *(pytest.param(*where, marks=pytest.mark.sweep) for where in SWEPT)],
)
def test_a_process_killed_at_a_chosen_place_is_resumed_to_the_same_bits(
    kind, epoch, fraction, lines, reference, tmp_path
):
    process = crash_test.start(tmp_path, EPOCHS, kind, epoch, fraction)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (len(read_metrics(tmp_path)), read_manifest(tmp_path)["status"]) == (lines, "running")
    crash_test.finish(tmp_path, EPOCHS)
    assert crash_test.differences_to(reference, tmp_path) == []


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["step", "save"])
def test_a_process_killed_from_outside_at_a_random_moment(kind, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(crash_test, "KINDS", (kind,))
    chance = random.Random(3)
    assert crash_test.kill_once(tmp_path, 40, chance) == kind
    assert 0 < len(read_metrics(tmp_path)) < 40
    assert read_manifest(tmp_path)["status"] == "running"


@pytest.mark.sweep
def test_a_process_that_is_asked_to_end_has_saved_what_it_says(tmp_path, monkeypatch):
    """In a directory with a name that would be a pattern; checkpoints are not due."""
    monkeypatch.setattr(crash_test, "KINDS", ("SIGTERM",))
    directory = tmp_path / "lr=[0.1]"
    assert crash_test.kill_once(directory, 4000, random.Random(3)) == "SIGTERM"
    manifest = read_manifest(directory)
    assert manifest["status"] == "stopped"
    assert [path.name for path in (directory / "checkpoints").iterdir()] == [f"{manifest['at_epoch']:08d}"]
    assert len(read_metrics(directory)) == manifest["at_epoch"]


@pytest.mark.sweep
def test_a_few_kills_lose_nothing(capsys):
    assert crash_test.main(["--quick", "--epochs", "6", "--seed", "1"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^0 lost or changed results over 4 kills \(\d+ jobs finished\)$", output, flags=re.MULTILINE)
    counts = [int(n) for n in re.search(r"killed: (.*)", output)[1].replace(",", "").split()[1::2]]
    assert sum(counts) == 4


def change_metrics(path):
    lines = (path / "metrics.jsonl").read_text().replace('"epoch": 2', '"epoch": 20')
    (path / "metrics.jsonl").write_text(lines)


def repeat_a_line(path):
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join([*lines, lines[-1]]))


def change_a_parameter(path):
    with np.load(path / "result.npz") as file:
        arrays = dict(file)
    name = next(name for name in arrays if name.endswith("kernel"))
    arrays[name] = np.nextafter(arrays[name], np.float32(9))
    np.savez(path / "result.npz", **arrays)


def change_the_manifest(path):
    manifest = read_manifest(path)
    (path / "manifest.json").write_text(json.dumps(manifest | {"parameter_hash": "0"}))


CHANGES = {
    "a figure": (change_metrics, "metrics (4 lines, 4 expected)"),
    "a line twice": (repeat_a_line, "metrics (5 lines, 4 expected)"),
    "a parameter": (change_a_parameter, "kernel in result.npz"),
    "the manifest": (change_the_manifest, "parameter_hash in the manifest"),
    "a damaged checkpoint": (
        lambda p: (p / "checkpoints" / "00000009.damaged").mkdir(),
        "00000009.damaged was set aside",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_changed_result_is_noticed(change, expected, reference, tmp_path):
    path = Path(shutil.copytree(reference, tmp_path / "run"))
    assert crash_test.differences_to(reference, path) == []
    change(path)
    (found,) = crash_test.differences_to(reference, path)
    assert expected in found


@pytest.mark.sweep
def test_a_job_that_fails_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match=r"a job ended with code 1: .*(?s:.)*(NotADirectoryError|FileExistsError)"):
        crash_test.finish(tmp_path / "file" / "run", EPOCHS)


@pytest.mark.parametrize("option", ["kills", "epochs", "jobs"])
def test_numbers_out_of_range_are_refused(option, capsys):
    assert crash_test.main([f"--{option}", "0"]) == 2
    assert f"error: {option} is 0: expected 1 or more" in capsys.readouterr().err

"""A run that ends between any two of the things it does to the disk goes on to the same bits."""

import os
import sys
import threading
from pathlib import Path

import pytest

from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from tests.tiny_runs import fingerprint, small_evaluation_batches, trainer  # noqa: F401

EPOCHS = 3
CHANGES = ("open", "os.rename", "os.remove", "os.truncate")


class Killed(BaseException):
    """The end of a process: whoever catches it, nothing that comes after it is done."""


class Disk:
    """What the main thread does in `folder`, in order: Python tells of every file that is opened, put in place, cut off
    or removed, before it is. The one with the number `last` and all that come after it do not happen. Opened to be read
    counts as well: a line of metrics is made durable so, between its being written and the save of its checkpoint."""

    def __init__(self):
        self.folder, self.last, self.changes = None, None, []

    def watch(self, folder, last=None):
        self.folder, self.last, self.changes = folder, last, []

    def __call__(self, event, args):
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            return
        if event not in CHANGES:
            return
        path = Path(os.fsdecode(args[0])) if isinstance(args[0], str | bytes | os.PathLike) else Path()
        if self.folder not in path.parents:
            return
        self.changes.append((event, path.name.rsplit(".", 1)[0]))
        if self.last is not None and len(self.changes) >= self.last:
            raise Killed


DISK = Disk()
sys.addaudithook(DISK)  # which nothing removes: it looks on while it has a folder


@pytest.fixture
def disk():
    yield DISK
    DISK.watch(None)


def test_a_run_that_ends_at_any_of_them_goes_on_to_the_same_bits(disk, tmp_path):
    """The best epoch is neither the first nor the last."""
    three = trainer(train__epochs=EPOCHS)
    disk.watch(tmp_path / "whole")
    whole = fingerprint(three.run(directory=tmp_path / "whole", every_epoch=True))
    changes = list(disk.changes)
    assert read_manifest(tmp_path / "whole")["best_epoch"] == 2
    assert {event for event, _ in changes} >= {"open", "os.rename", "os.truncate"}
    assert len(changes) >= 2 + 2 * EPOCHS + 2 + 2  # a manifest, two per line, the result, the manifest
    for last in range(1, len(changes) + 1):
        directory = tmp_path / f"killed at {last}"
        disk.watch(directory, last)
        with pytest.raises(Killed):
            three.run(directory=directory, every_epoch=True)
        disk.watch(None)
        result = three.run(directory=directory, every_epoch=True, resume=True)
        assert fingerprint(result) == whole, changes[last - 1]
        manifest = read_manifest(directory)
        assert manifest["status"] == "finished"
        assert manifest["parameter_hash"] == parameter_hash(result.variables)
        assert manifest["metrics_hash"] == metrics_hash(read_metrics(directory))

"""A run that ends between any two of its changes to the disk goes on to the same bits."""

import os
import sys
import threading
from pathlib import Path

import pytest

from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from tests.tiny_runs import base_result, fingerprint, small_evaluation_batches, trainer  # noqa: F401

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """The end of a process: whoever catches it, nothing that comes after it is done."""


class Disk:
    """What the main thread does to the files of `folder`, those of checkpoints apart, in order: Python tells of every
    file that is opened to be written, put in place, cut off or removed, before it is. The change with the number `last`
    and all that come after it do not happen."""

    def __init__(self):
        self.folder, self.last, self.changes = None, None, []

    def watch(self, folder, last=None):
        self.folder, self.last, self.changes = folder, last, []

    def __call__(self, event, args):
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            return
        if event not in ("open", "os.rename", "os.truncate", "os.remove") or (
            event == "open" and not args[2] & WRITING
        ):
            return
        path = Path(os.fsdecode(args[0])) if isinstance(args[0], str | bytes | os.PathLike) else Path()
        if self.folder not in path.parents or "checkpoints" in path.parts:
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


def test_a_run_that_ends_before_any_of_its_changes_goes_on_to_the_same_bits(disk, tmp_path):
    disk.watch(tmp_path / "whole")
    trainer().run(directory=tmp_path / "whole", every_epoch=True)
    changes = list(disk.changes)
    assert {"open", "os.rename", "os.truncate"} >= {event for event, _ in changes} >= {"open", "os.rename"}
    assert len(changes) >= 2 + 4 + 2 + 2  # a manifest, a line per epoch, the result, the manifest again
    for last in range(1, len(changes) + 1):
        directory = tmp_path / f"killed at {last}"
        disk.watch(directory, last)
        with pytest.raises(Killed):
            trainer().run(directory=directory, every_epoch=True)
        disk.watch(None)
        result = trainer().run(directory=directory, every_epoch=True, resume=True)
        assert fingerprint(result) == fingerprint(base_result()), changes[last - 1]
        manifest = read_manifest(directory)
        assert manifest["status"] == "finished"
        assert manifest["parameter_hash"] == parameter_hash(result.variables)
        assert manifest["metrics_hash"] == metrics_hash(read_metrics(directory))

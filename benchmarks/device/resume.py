"""A run that is interrupted on a mesh of all accelerators and goes on on one of them, and the other way round."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from benchmarks.device.document import Document
from benchmarks.interleave import Gap
from benchmarks.replicates import CASES, IMAGES, dataset_of
from convnet.architectures import Linear
from convnet.config import MeshConfig, RunConfig
from convnet.journal import Stopped
from convnet.record import metrics_hash, read_manifest, read_metrics
from convnet.run import Trainer
from convnet.signals import StopRequest
from convnet.train import OtherRun

CASE = "like-mnist"
EPOCHS, STOP_AFTER = 4, 2
BATCH, TINY_BATCH = 128, 16
"""At least; a multiple of the devices."""
TINY_IMAGES = 200


def measure(document: Document) -> None:
    there = jax.device_count()
    if there == 1:
        raise Gap("one device")
    config = config_of(there, tiny=document.tiny)
    dataset = dataset_of(CASE, TINY_IMAGES if document.tiny else IMAGES)
    document.facts["plan"] = dict(rounds=1, threads=None, epochs=EPOCHS, stop_after=STOP_AFTER)
    with tempfile.TemporaryDirectory() as folder:
        trainers, whole = {}, {}
        for n in (there, 1):
            trainers[n] = Trainer(config, dataset, mesh=MeshConfig(batch=n))
            whole[n] = [lines_of(trainers[n], Path(folder, f"whole-{n}-{i}")) for i in range(2)]
            document.add([whole_result(n, *whole[n])])
        for start, end in ((there, 1), (1, there)):
            if not document.left:
                document.cut(f"{start} devices, then {end}")
                continue
            place, facts = Path(folder, f"{start}-{end}"), dict(start=start, end=end, interrupted=True, gap=None)
            try:
                facts |= resumed(trainers[start], trainers[end], place, whole[start][0])
            except Exception as error:  # the other way round may go
                facts["gap"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            document.add([facts])


def config_of(devices: int, *, tiny: bool) -> RunConfig:
    """A batch of a size that the devices divide evenly."""
    config, least = CASES[CASE].config, TINY_BATCH if tiny else BATCH
    config = replace(config, model=Linear()) if tiny else config
    return replace(config, train=replace(config.train, epochs=EPOCHS, batch_size=-(-least // devices) * devices))


def lines_of(trainer: Trainer, place: Path) -> list[dict[str, Any]]:
    """Metrics of a run that nothing interrupts."""
    trainer.run(directory=place)
    return read_metrics(place)


def whole_result(devices: int, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Two runs from beginning to end on so many devices: are their bits equal?"""
    found = dict(start=devices, end=devices, interrupted=False, equal=metrics_hash(first) == metrics_hash(second))
    return found | dict(losses=losses(first), difference=difference(first, second), gap=None)


def interrupt(trainer: Trainer, place: Path, epochs: int) -> None:
    """A run that is asked to end after so many epochs, and has saved where it stands."""
    stop = StopRequest()
    with suppress(Stopped):
        trainer.run(on_epoch=lambda record: stop.ask() if record.epoch == epochs else None, directory=place, stop=stop)


def resumed(first: Trainer, second: Trainer, place: Path, whole: list[dict[str, Any]]) -> dict[str, Any]:
    """A run that `first` begins and `second` ends, beside the `whole` run of `first`."""
    interrupt(first, place, STOP_AFTER)
    found = {"refused": refusal(second, place)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the change, which is what is looked for
        second.run(directory=place, resume=True, accept_changes=True)
    lines = read_metrics(place)
    again, *_ = (read_manifest(place) or {}).get("resumed") or [{}]
    changed = again.get("changed", {})
    mesh = {name: values for name, values in changed.items() if name.split(".")[0] == "mesh"}
    kept = metrics_hash(lines[:STOP_AFTER]) == metrics_hash(whole[:STOP_AFTER])
    found |= dict(equal=metrics_hash(lines) == metrics_hash(whole), kept=kept, losses=losses(lines))
    return found | dict(difference=difference(lines, whole), mesh=mesh, changed=sorted(changed))


def refusal(trainer: Trainer, place: Path) -> str | None:
    """What is said where changes are not accepted; None where nothing is."""
    try:
        trainer.run(directory=place, resume=True)
    except OtherRun as refused:
        return str(refused).replace(str(place), "the directory")[:500]
    return None


def losses(lines: list[dict[str, Any]]) -> list[float]:
    """Of training, by epoch."""
    return [line["train_loss"] for line in lines]


def difference(lines: list[dict[str, Any]], others: list[dict[str, Any]]) -> float:
    """The largest relative one of the losses of an epoch."""
    return max(abs(a - b) / abs(b) for a, b in zip(losses(lines), losses(others), strict=True))

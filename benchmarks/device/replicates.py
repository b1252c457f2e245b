"""64 replicates in one program, beside 64 runs one after the other, and beside one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.device.document import Document
from benchmarks.replicates import CASES, IMAGES, dataset_of, timed, ways
from benchmarks.replicates import Case as ReplicatesCase
from convnet.architectures import Linear
from convnet.config import RunConfig

REPLICATES, ROUNDS = 64, 3
TINY_REPLICATES, TINY_IMAGES = 2, 200


def measure(document: Document) -> None:
    for name, case in CASES.items():
        if not document.left:
            document.cut(case.label)
            continue
        _measure_case(document, name, case)
        if document.tiny:
            break


def _measure_case(document: Document, name: str, case: ReplicatesCase) -> None:
    replicates, rounds = (TINY_REPLICATES, 1) if document.tiny else (REPLICATES, ROUNDS)
    config = _smallest(case.config) if document.tiny else case.config
    dataset = dataset_of(name, TINY_IMAGES if document.tiny else IMAGES)
    found = ways(config, dataset, replicates, ["one", "vmapped", "single"])
    row = {"single": found.pop("single")}
    for timed_ways, samples in ((found, rounds), (row, 1)):
        seconds = timed(timed_ways, samples, on_run=lambda way: print(case.label, way, flush=True))
        document.add(_results(name, case, replicates, config.train.epochs, seconds))


def _smallest(config: RunConfig) -> RunConfig:
    return replace(config, model=Linear(), train=replace(config.train, epochs=1))


def _results(name: str, case: ReplicatesCase, replicates: int, epochs: int, seconds: dict) -> list[dict[str, Any]]:
    shared = dict(case=name, label=case.label, replicates=replicates, epochs=epochs)
    return [dict(**shared, way=way, seconds=samples) for way, samples in seconds.items()]

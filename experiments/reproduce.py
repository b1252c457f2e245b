"""Does a stored run come out again, bit for bit?

    python experiments/reproduce.py runs/train/cnn
    python experiments/reproduce.py runs/compare/digits/1f0c…              one cell of a comparison
    python experiments/reproduce.py runs/ablate/depth/cells/1f0c…          or of an ablation

Trains the run again from its manifest, somewhere else, and compares every epoch's figures and parameter hash, the test
figures and the final parameters. Prints OK (exit code 0), or exactly what differs and what in the environment changed
since (exit code 1). Times are not compared.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from convnet import data
from convnet.ablation import Replicates
from convnet.architectures import Own
from convnet.cli import run_command
from convnet.config import MeshConfig, RunConfig, recorded
from convnet.identity import HOW, WHAT, environment
from convnet.journal import take_threads
from convnet.progress import progress
from convnet.record import TIMES, read_manifest, read_metrics
from convnet.settings import differences

OUTCOME = ("status", "reason", "parameter_hash", "test_hits", "test_accuracy", "test_loss", "best_epoch")
CIRCUMSTANCES = (*WHAT, *HOW, "platform", "cpus", "backend", "git")
LINES = 20
"""Differences that are printed; of the others, their number."""


@dataclass(frozen=True)
class Reproduce:
    """Train a stored run again from its manifest and verify that every figure and every parameter is the same."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run, with manifest.json and metrics.jsonl."""


def stored_run(path: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Config and manifest of the run in `path`.

    Raises ValueError where there is none that came to an end, and for one of data, a model or ops that only its own
    program has.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise ValueError(f"run is {str(path)!r}: it has no manifest.json that can be read")
    status = manifest.get("status")
    if status not in ("finished", "diverged"):
        raise ValueError(f"run is {str(path)!r}: its status is {status!r}; resume it first, then reproduce it")
    config, used = recorded(manifest["config"], manifest.get("folder")), manifest.get("computes", {})
    own = {
        "the data": None if config.data.folder or config.data.name in data.DATASETS else config.data.name,
        "the model": used.get("model") if isinstance(config.model, Own) else None,
        "the parts": ", ".join(used["own"]) if used.get("own") else None,
        "the ops": used.get("ops") if isinstance(used.get("ops"), dict) else None,
    }
    for what, name in own.items():
        if name is not None:
            raise ValueError(
                f"run is {str(path)!r}: {what} {name!r} are not the library's; run the program that has them again in "
                "another directory, and compare the parameter hashes"
            )
    return config, manifest


def replicates_of(config: RunConfig, manifest: dict[str, Any]) -> Replicates:
    """A program like that of the stored run. What was trained vmapped gets as many siblings as it had."""
    width = manifest.get("replicates", 0)
    dataset = data.from_config(config.data)
    there = {"batch": 1, "replicates": 1, **(manifest.get("mesh") or {})}
    settings = dict(traced=manifest.get("traced", ()), mesh=MeshConfig(**there))
    settings["deterministic"] = (manifest.get("compiler") or {}).get("deterministic", True)
    return Replicates(config, dataset, vmapped=bool(width), chunk=max(width // there["replicates"], 1), **settings)


def train_again(config: RunConfig, replicates: Replicates, directory: Path) -> Path:
    """Run `config` under `directory`; returns where. Divergence is an outcome, too.

    Which seeds its siblings in one program have makes no difference to it.
    """
    together = replicates.together
    configs = [replace(config, seed=(config.seed + i) % 2**32) for i in range(together)]
    with progress(config.train.epochs * len(configs), "epoch") as bar:
        runs = replicates.run_all(configs, lambda *_: bar.update(), directory=lambda one: directory / str(one.seed))
        next(runs)
    return directory / str(config.seed)


def differing_results(stored: Path, manifest: dict[str, Any], again: Path, repeated: dict[str, Any]) -> list[str]:
    """One line for every figure that differs. What the stored run did not record is not compared; accuracies of a run
    that recorded no hits, which were means in float32, are compared as such."""
    found, counted = [], "test_hits" in manifest

    def kept(figures: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        rounded = {n for n in names if n.endswith("accuracy") and not counted and figures.get(n) is not None}
        return {n: float(np.float32(figures[n])) if n in rounded else figures.get(n) for n in names}

    lines, repeats = read_metrics(stored), read_metrics(again)
    if len(lines) != len(repeats):
        found.append(f"epochs: {len(lines)} stored, {len(repeats)} now")
    for line, repeat in zip(lines, repeats, strict=False):
        names = [name for name in line if name not in TIMES]
        for name, (then, now) in differences(kept(line, names), kept(repeat, names)).items():
            found.append(f"epoch {line['epoch']}, {name}: {then!r} stored, {now!r} now")
    names = [name for name in OUTCOME if name in manifest]
    for name, (then, now) in differences(kept(manifest, names), kept(repeated, names)).items():
        found.append(f"{name}: {then!r} stored, {now!r} now")
    return found


def changed_circumstances(manifest: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of the data, the program and the environment is not what it was when the run was made."""
    changed = differences(*({name: facts.get(name) for name in CIRCUMSTANCES} for facts in (manifest, now)))
    lines = [f"{name}: {then!r} then, {here!r} now" for name, (then, here) in changed.items()]
    for i, resumed in enumerate(manifest.get("resumed", []), 1):
        lines += [
            f"{name}: {a!r} at its start, {b!r} when resumed ({i})" for name, (a, b) in resumed["changed"].items()
        ]
    return lines


def reproduce(settings: Reproduce) -> int:
    config, manifest = stored_run(settings.run)
    take_threads(settings.run)
    replicates = replicates_of(config, manifest)
    now = replicates.trainer.identity(config, manifest.get("replicates", 0)) | environment()
    with tempfile.TemporaryDirectory(prefix="convnet-reproduce-") as directory:
        again = train_again(config, replicates, Path(directory))
        found = differing_results(settings.run, manifest, again, read_manifest(again))
    changed = changed_circumstances(manifest, now)
    if found:
        print(f"DIFFERENT: {len(found)} figures of {settings.run}")
        print("\n".join(f"  {line}" for line in found[:LINES]))
        if len(found) > LINES:
            print(f"  and {len(found) - LINES} more")
    else:
        result = f"parameters {manifest['parameter_hash']}" if "parameter_hash" in manifest else manifest.get("reason")
        print(f"OK: {config.train.epochs} epochs bit for bit; {result}")
    if changed:
        print("changed since the run was made:")
        print("\n".join(f"  {line}" for line in changed))
    elif found:
        print("nothing that was recorded of its data, program and environment has changed")
    return 1 if found else 0


def main(args: list[str] | None = None) -> int:
    return run_command(Reproduce, reproduce, args)


if __name__ == "__main__":
    sys.exit(main())

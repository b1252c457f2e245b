"""The command: every part in turn, within a budget, and a short table at the end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import machine
from benchmarks.device.summary import lines_of
from convnet.record import check_writable

RESULTS = Path(__file__).resolve().parents[1] / "results"
LOG = "log.txt"
GRACE = 10.0
"""Seconds that a part may take to end what it has begun."""
LEAST = 3.0
"""Seconds below which no part is begun."""


@dataclass(frozen=True)
class Part:
    """A module of this package with `measure(document)`, the file of its results, its share of the budget, and the
    packages without which nothing of it can be measured."""

    module: str
    file: str
    share: float
    needs: tuple[str, ...] = ()


PARTS = {
    "audit": Part("audit", "audit", 40, needs=("hypothesis", "scipy")),
    "train": Part("steps", "train", 200, needs=("optax",)),
    "replicates": Part("replicates", "replicates", 55, needs=("flax", "optax", "orbax", "sklearn")),
    "ops": Part("ops", "ops", 85),
    "determinism": Part("determinism", "determinism", 55, needs=("flax", "optax", "orbax")),
    "mnist": Part("mnist", "mnist", 25, needs=("flax", "optax", "orbax")),
    "formulations": Part("formulations", "formulations", 30),
}
"""The most telling first."""


def parser() -> argparse.ArgumentParser:
    # argparse, where the other commands use tyro: a machine with an accelerator has JAX, and often nothing else.
    found = argparse.ArgumentParser(
        prog="scripts/device_check.sh",
        description="Gradients, speed, replicates, determinism and memory of this device, within a budget of time. "
        "Needs no network and installs nothing; what a part lacks is said, and the others go on.",
    )
    found.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ["OUT"]) if os.environ.get("OUT") else None,
        help="folder of the results; $OUT, or else benchmarks/results/<device>",
    )
    found.add_argument("--budget", type=float, default=460.0, help="seconds in all (default: %(default)g)")
    found.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="in the order given (default: all)"
    )
    found.add_argument(
        "--mnist",
        type=Path,
        help=".npz file with images, labels, test_images and test_labels; default: where TFDS_DATA_DIR has it",
    )
    found.add_argument("--tiny", action="store_true", help="the smallest shapes: does everything run?")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    begin = time.monotonic()
    settings = parser().parse_args(arguments)
    try:
        _check(settings)
        where = _device()
        folder = settings.out or RESULTS / machine.directory_name(where["backend"], where["device"])
        check_writable(folder)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{where['device']} (JAX {where['jax']} on {where['backend']}), results in {folder}", flush=True)
    if where["backend"] == "cpu":
        print("JAX sees no accelerator: this checks the check, and the processor", flush=True)
    if find_spec("torch") is None:
        print("torch is not installed: nothing is measured beside it", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG).unlink(missing_ok=True)
    notes = {}
    for i, name in enumerate(settings.parts):
        shares = [PARTS[other].share for other in settings.parts[i:]]
        left = begin + settings.budget - time.monotonic()
        if note := _run(name, folder, left * shares[0] / sum(shares), left, settings):
            notes[PARTS[name].file] = note
            print(f"{name}: {note}", flush=True)
    print("\n" + "\n".join(lines_of(folder, [PARTS[name].file for name in settings.parts], notes)))
    return 0


def _check(settings: argparse.Namespace) -> None:
    """Raises ValueError, before anything is started, for what cannot be."""
    if not settings.budget > 0:
        raise ValueError(f"budget is {settings.budget:g}: expected a positive number of seconds")
    if settings.mnist is not None and not settings.mnist.is_file():
        raise ValueError(f"mnist is {str(settings.mnist)!r}: expected a file")
    if settings.out is not None:
        check_writable(settings.out)


def _device() -> dict[str, str]:
    """What JAX computes on, as a process that ends again is told: this one takes none of the device's memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.device.part", "probe"],
        env=machine.worker_environment(threads=None, tuned=False),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"JAX has no device here: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def _run(name: str, folder: Path, seconds: float, left: float, settings: argparse.Namespace) -> str | None:
    """Run one part; why there is nothing, or not all, of it."""
    part = PARTS[name]
    if missing := [package for package in part.needs if find_spec(package) is None]:
        return f"not run, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    if seconds < LEAST:
        return f"not run, the budget leaves it {max(seconds, 0):.0f} s"
    print(f"{name}: {seconds:.0f} s of {left:.0f} s", flush=True)
    file = folder / f"{part.file}.json"
    command = [sys.executable, "-m", "benchmarks.device.part", part.module, str(file), f"{seconds:.1f}"]
    command += ["--tiny"] if settings.tiny else []
    command += ["--mnist", str(settings.mnist)] if settings.mnist else []
    start = time.monotonic()
    with open(folder / LOG, "ab") as log:
        log.write(f"\n== {name}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=machine.worker_environment(threads=None, tuned=False),
            start_new_session=True,
        )
        try:
            code = process.wait(min(seconds + GRACE, max(left, LEAST)))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    print(f"{name}: took {time.monotonic() - start:.0f} s", flush=True)
    if code is None:
        return "ended when its time was up; what it had is kept"
    return f"ended with code {code}, see {folder / LOG}; what it had is kept" if code else None


def _end(process: subprocess.Popen) -> None:
    """With all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())

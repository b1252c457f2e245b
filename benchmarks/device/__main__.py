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
from typing import Any

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
    """A module of this package with `measure(document)`, the file of its results, its share of the budget, what it
    measures, and the packages without which nothing of it can be. several: whether it sees all accelerators; the others
    have the first one, so that their figures mean the same on every machine."""

    module: str
    file: str
    share: float
    what: str
    needs: tuple[str, ...] = ()
    several: bool = False


STEPS = ("flax", "optax")
RUNS = (*STEPS, "orbax")
PARTS = {
    "audit": Part("audit", "audit", 40, "every gradient, by the referee at level quick", needs=("hypothesis", "scipy")),
    "devices": Part(
        "devices", "devices", 100, "steps of 1, 2, 4, … all devices, and the sum over them", RUNS, several=True
    ),
    "resume": Part(
        "resume", "resume", 60, "runs saved on all devices and resumed on one, and the reverse", RUNS, several=True
    ),
    "train": Part("steps", "train", 200, "training steps beside autodiff, torch and torch.compile", STEPS),
    "resnet224": Part("resnet224", "resnet224", 100, "the same of ResNet-18 at 224², batch 256, bfloat16", STEPS),
    "streaming": Part(
        "streaming", "streaming", 60, "epochs of images that are read beside those in memory", (*RUNS, "grain")
    ),
    "determinism": Part("determinism", "determinism", 70, "equal bits, run after run, and after an interruption", RUNS),
    "replicates": Part(
        "replicates", "replicates", 55, "64 seeds in one program beside one seed, and 64", (*RUNS, "sklearn")
    ),
    "ops": Part("ops", "ops", 50, "single ops and a matrix product beside autodiff and torch"),
    "mnist": Part("mnist", "mnist", 10, "seconds until 99 % of MNIST's validation images are recognised", RUNS),
    "formulations": Part("formulations", "formulations", 15, "every form of a convolution beside the table's"),
}
"""The most telling first; but first of all what ends at once on a machine with one accelerator, and so gives its share
to the others there."""


def parser() -> argparse.ArgumentParser:
    # argparse, where the other commands use tyro: a machine with an accelerator has JAX, and often nothing else.
    lines = [f"  {name:<14}{part.what}" for name, part in PARTS.items()]
    found = argparse.ArgumentParser(
        prog="bash scripts/device_check.sh",
        description="One check of this machine's accelerators, within a budget of time: gradients,\n"
        "speed, memory, several devices, images that are read, equal bits. Needs no network\n"
        "and installs nothing; what a part lacks is said, and the others go on.",
        epilog="\n".join(["parts:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ["OUT"]) if os.environ.get("OUT") else None,
        help="folder of the results; $OUT, or else benchmarks/results/<device>",
    )
    found.add_argument("--budget", type=float, default=460.0, help="seconds in all (default: %(default)g)")
    found.add_argument(
        "--parts",
        nargs="+",
        choices=list(PARTS),
        default=list(PARTS),
        metavar="PART",
        help="in the order given (default: all, in the order below)",
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
    several = f"{where['devices']} × " if where["devices"] > 1 else ""
    print(f"{several}{where['device']} (JAX {where['jax']} on {where['backend']}), results in {folder}", flush=True)
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
        environment = environment_of(PARTS[name], where)
        if note := _run(name, folder, left * shares[0] / sum(shares), left, environment, settings):
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


def environment_of(part: Part, where: dict[str, Any]) -> dict[str, str]:
    """Variables of a part's process. The one that names devices is read by NVIDIA's libraries and AMD's, below JAX and
    torch alike."""
    found = machine.worker_environment(threads=None, tuned=False)
    if where["backend"] == "gpu" and where["devices"] > 1 and not part.several:
        first, *_ = found.get("CUDA_VISIBLE_DEVICES", "").split(",")
        found["CUDA_VISIBLE_DEVICES"] = first or "0"
    return found


def _device() -> dict[str, Any]:
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


def _run(
    name: str, folder: Path, seconds: float, left: float, environment: dict[str, str], settings: argparse.Namespace
) -> str | None:
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
            env=environment,
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

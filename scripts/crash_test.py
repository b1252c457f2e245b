"""Is anything lost or changed when training is killed at random and resumed, and what do checkpoints cost?

    python -m scripts.crash_test                     50 kills, then the cost: some minutes on two cores
    python -m scripts.crash_test --kills 500 --seed 1
    python -m scripts.crash_test --processes 2       jobs of two processes each, of which one is killed
    python -m scripts.crash_test --quick             4 kills, no cost: does it run?

Each job trains a small network in a process of its own, which is killed (SIGKILL) again and again: at any time in an
epoch, while a checkpoint is being written, in the middle of a line of metrics, between the two, before the result. Or
it is asked to end, by Ctrl-C (SIGINT) or as Slurm does (SIGTERM): then the epoch it names must be saved. Checkpoints
are due after each epoch, or hardly ever. Directories have names that patterns, protocols and terminals stumble over.
After each kill the job is resumed. In the end its parameters, its test logits and every line of its metrics (but for
the seconds) are compared bit for bit with those of a run that was left alone. Exit code 1 if anything differs.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import metrics_hash, read_manifest, read_metrics
from convnet.settings import require
from scripts.checkpoint_cost import print_costs

WORKER = Path(__file__).with_name("crash_worker.py")
KINDS = ("step", "save", "metrics", "between", "saving", "result", "SIGTERM", "SIGINT")
NAMES = ("plain", "lr=[0.1]", "a\\b", "gs:", "two words", "naïve 数", "*?", "$HOME", "%s{}", "-", "'\"")
"""Of the folders that jobs lie in, in turn."""
KILLS_PER_JOB = 10
EPOCHS_AHEAD = 5
"""A process may do up to this many epochs before it dies."""


@dataclass(frozen=True)
class CrashTest:
    """Kill training at random moments, resume it, and count results that were lost or changed."""

    kills: int = 50
    """Processes to kill."""
    seed: int = 0
    """Of the moments; the operating system adds its own chance."""
    epochs: int = 30
    """Of each job."""
    jobs: int = 2
    """Jobs under way at a time."""
    processes: int = 1
    """Of each job (`convnet.launch`)."""
    cost: bool = True
    """Measure what checkpoints cost, too, when nothing else is running."""
    quick: bool = False
    """Four kills, no cost: a check that everything runs, not a result."""


@dataclass
class Outcome:
    """What became of some jobs."""

    kills: Counter = field(default_factory=Counter)
    finished: int = 0
    wrong: list[str] = field(default_factory=list)


def start(directory: Path, epochs: int, *wound: object, processes: int = 1) -> subprocess.Popen:
    launcher = ["-m", "convnet.launch", "--processes", str(processes)] if processes > 1 else []
    command = [sys.executable, *launcher, str(WORKER), str(directory), str(epochs), *map(str, wound)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")


def epochs_done(directory: Path) -> int:
    return len(read_metrics(directory)) if (directory / "metrics.jsonl").exists() else 0


def kill_once(directory: Path, epochs: int, chance: random.Random, processes: int = 1) -> str | None:
    """Start or resume the job and kill it, or one of its processes; returns where it was killed, or None if it was
    finished before.

    Raises RuntimeError where it ended in any other way.
    """
    kind, done = chance.choice(KINDS), epochs_done(directory)
    target = min(done + chance.randint(0, EPOCHS_AHEAD), epochs)
    if kind in ("metrics", "between", "saving", "result"):
        wound = kind, max(target, 1), round(chance.random(), 3)
        process = start(directory, epochs, *wound, processes=processes)
    else:
        # Asked to end, it must not count on a checkpoint that happens to be there.
        wound = ("rare", 0, 0) if kind.startswith("SIG") else ()
        process = start(directory, epochs, *wound, processes=processes)
        _kill_from_outside(process, kind, directory, target, chance)
    _, errors = process.communicate()
    if kind.startswith("SIG"):
        _check_stopped(process.returncode, errors, directory, kind)
    elif process.returncode not in (0, -signal.SIGKILL) and "the run ended: process" not in errors:
        raise RuntimeError(f"a job ended with code {process.returncode}: {errors[-2000:]}")
    return kind if process.returncode else None


def _check_stopped(code: int, errors: str, directory: Path, kind: str) -> None:
    """RuntimeError unless a job that was asked to end had ended before, had not begun to train, or did what it says."""
    if code in (0, -signal.Signals[kind]) or (kind == "SIGINT" and code == 1 and "KeyboardInterrupt" in errors):
        return
    said = re.search(r"stopped after epoch (\d+) of \d+, saved", errors)
    if code != 128 + signal.Signals[kind] or not said:
        raise RuntimeError(f"a job that got {kind} ended with code {code}: {errors[-2000:]}")
    if not (directory / "checkpoints" / f"{int(said[1]):08d}").is_dir() or epochs_done(directory) != int(said[1]):
        raise RuntimeError(f"a job said that it saved epoch {said[1]}, and did not: {directory}")


def _kill_from_outside(process: subprocess.Popen, kind: str, directory: Path, target: int, chance: random.Random):
    """After `target` epochs, at a random moment of what follows: of the next steps, or of the next save."""
    for line in process.stdout:
        if int(line) >= target:
            break
    delay = chance.random() * 0.06  # seconds: some epochs, or a whole save
    deadline = time.monotonic() + 2
    while kind == "save" and not list((directory / "checkpoints").glob("*tmp*")):
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.001)
    time.sleep(delay)
    if kind.startswith("SIG"):
        process.send_signal(signal.Signals[kind])
    else:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(_processes(process)), signal.SIGKILL)


def _processes(job: subprocess.Popen) -> list[int]:
    """Those that compute: the job's children, where it has any."""
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split())) or [job.pid]
    return [job.pid]


def differences_to(reference: Path, directory: Path) -> list[str]:
    """What of a finished job is not as in the run that was left alone, to the last bit."""
    found = []
    ours, theirs = read_metrics(directory), read_metrics(reference)
    if metrics_hash(ours) != metrics_hash(theirs):
        found.append(f"metrics ({len(ours)} lines, {len(theirs)} expected)")
    for name in ("status", "parameter_hash", "metrics_hash", "best_epoch", "test_accuracy"):
        if read_manifest(directory).get(name) != read_manifest(reference).get(name):
            found.append(f"{name} in the manifest")
    with np.load(directory / "result.npz") as one, np.load(reference / "result.npz") as other:
        names = set(one) | set(other)
        alike = [
            n
            for n in set(one) & set(other)
            if one[n].dtype == other[n].dtype
            and one[n].shape == other[n].shape
            and (n in ("records", "facts") or one[n].tobytes() == other[n].tobytes())
        ]  # those two hold times
        found += [f"{name} in result.npz" for name in sorted(names - set(alike))]  # fmt: skip
    return found + [f"{path.name} was set aside" for path in (directory / "checkpoints").glob("*.damaged*")]


def torment(settings: CrashTest, number: int, kills: int, home: Path, on_kill: Callable[[], object]) -> Outcome:
    """Kill one job after the other until `kills` were killed; let the last one finish."""
    outcome, chance = Outcome(), random.Random(f"{settings.seed} {number}")
    while sum(outcome.kills.values()) < kills:
        directory = home / NAMES[(number + outcome.finished) % len(NAMES)] / f"job-{number}-{outcome.finished}"
        where: str | None = ""
        while where is not None:
            if sum(outcome.kills.values()) < kills:
                where = kill_once(directory, settings.epochs, chance, settings.processes)
            else:
                where = finish(directory, settings.epochs, settings.processes)
            if where is not None:
                outcome.kills[where] += 1
                on_kill()
        outcome.finished += 1
        outcome.wrong += [f"{directory.name}: {text}" for text in differences_to(home / "reference", directory)]
    return outcome


def finish(directory: Path, epochs: int, processes: int = 1) -> None:
    """Let a job run to its end. Raises RuntimeError where it does not get there."""
    process = start(directory, epochs, processes=processes)
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a job ended with code {process.returncode}: {errors[-2000:]}")


def crash_test(settings: CrashTest) -> int:
    for name in ("kills", "epochs", "jobs", "processes"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    total = min(settings.kills, 4) if settings.quick else settings.kills
    shares = [min(KILLS_PER_JOB, total - first) for first in range(0, total, KILLS_PER_JOB)]
    with tempfile.TemporaryDirectory(prefix="convnet-crash-test-") as folder:
        home = Path(folder)
        finish(home / "reference", settings.epochs, settings.processes)
        with progress(total, "kill") as bar, ThreadPoolExecutor(settings.jobs) as pool:
            tasks = [pool.submit(torment, settings, i, n, home, bar.update) for i, n in enumerate(shares)]
            outcomes = [task.result() for task in tasks]
    kills = sum((outcome.kills for outcome in outcomes), Counter())
    wrong = [text for outcome in outcomes for text in outcome.wrong]
    print("\n".join(wrong))
    print("killed: " + ", ".join(f"{kind} {kills[kind]}" for kind in KINDS))
    jobs = sum(outcome.finished for outcome in outcomes)
    print(f"{len(wrong)} lost or changed results over {kills.total()} kills ({jobs} jobs finished)")
    if settings.cost and not settings.quick:
        print_costs()
    return 1 if wrong else 0


def main(args: list[str] | None = None) -> int:
    return run_command(CrashTest, crash_test, args)


if __name__ == "__main__":
    sys.exit(main())

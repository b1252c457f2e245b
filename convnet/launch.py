"""Let several processes compute one run: on this machine, on several, or under Slurm.

    python -m convnet.launch --processes 2 experiments/train.py --out runs/x      two, here
    python -m convnet.launch --processes 2 --process 0 --coordinator host1:1234 experiments/train.py --out runs/x
                                                                                  the first of two, on host1
    srun --ntasks=2 python -m convnet.launch experiments/train.py --out runs/x    as many as Slurm starts

Every process is given the same command, a file or a module of Python's, with the same arguments. The first one writes
the run's records and prints; all see the same run or none begins. Where one process dies, the others end within the
time that --patience says, and the command with --resume goes on, with as many processes as it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from convnet.progress import SILENT
from convnet.signals import HEARD, StopRequest
from convnet.threads import VARIABLES, processors

PORT = "JAX_COORDINATOR_PORT"
"""Where JAX looks for the port at which a step of Slurm's meets."""
PORTS = range(2**16 - 2**12, 2**16)
"""Above those that systems give to whoever asks for one; JAX chooses from the same."""
JOB = "CONVNET_JOB"
"""Holds, for a process that was started here, which one it is: JSON."""
LOCAL = "127.0.0.1"
GRACE = 15
"""Seconds that the others of this machine have to end by themselves where one has ended: here that is known at once, by
them when its signs of life are missed."""


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(
        prog="python -m convnet.launch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own.add_argument("--processes", type=int, metavar="N", help="how many compute the run together")
    own.add_argument("--process", type=int, metavar="I", help="which one this is, 0 … N − 1; without it all start here")
    own.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is; a port that is free there")
    patience = "wait so long for the others to come, and for a sign of life (default: %(default)s)"
    own.add_argument("--patience", type=int, default=60, metavar="SECONDS", help=patience)
    own.add_argument("command", nargs=argparse.REMAINDER, help="FILE.py or MODULE, and its arguments")
    return own


def jobs_of(settings: argparse.Namespace, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each process that is to be started here is told: the arguments of `jax.distributed.initialize`.

    Raises ValueError for arguments that do not fit each other, a port that is taken, and where there is no coordinator.
    """
    patience, n, own = settings.patience, settings.processes, settings.process
    if not settings.command:
        raise ValueError("command is missing: expected a file or a module of Python's, and its arguments")
    if patience < 1:
        raise ValueError(f"--patience is {patience}: expected 1 second or more")
    times = {"initialization_timeout": patience, "heartbeat_timeout_seconds": patience}
    if n is None and own is None and settings.coordinator is None:
        if not by_srun(settings, environ):
            raise ValueError("--processes is missing: expected how many are to compute, as no Slurm says so")
        return [{**task_of(environ), **times}]
    if n is None or n < 1:
        raise ValueError(f"--processes is {n}: expected 1 or more")
    if (own is None) != (settings.coordinator is None):
        raise ValueError("--process and --coordinator belong together: expected both, or neither to start all here")
    if own is None:
        there = {"coordinator_address": f"{LOCAL}:{free_port()}", "num_processes": n, **times}
        return [{**there, "process_id": i, "local_device_ids": [i]} for i in range(n)]
    if not 0 <= own < n:
        raise ValueError(f"--process is {own}: expected 0 to {n - 1}")
    reach(settings.coordinator, patience, first=own == 0)
    return [{"coordinator_address": settings.coordinator, "num_processes": n, "process_id": own, **times}]


def by_srun(settings: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    """Whether `srun` started this process, as one of those that are to compute together."""
    alone = settings.processes is None and settings.process is None and settings.coordinator is None
    return alone and "SLURM_STEP_NODELIST" in environ


def task_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """What a task of Slurm's is told. JAX finds the others by itself, and takes the card of the task's number on its
    node; but where Slurm shows each task only its own, that is the first.

    Raises ValueError on the first task where the port is taken.
    """
    if environ["SLURM_PROCID"] == "0":
        port = variables_of(environ)[PORT]
        check_free(port, f"{PORT} is {port}")
    shown = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"local_device_ids": [0]} if len(shown) == 1 and shown[0] else {}


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that a task of Slurm's sets: the port of its step, which is not that of another step on the node, and
    as many threads as Slurm gives it processors, if it says so."""
    job, step = int(environ["SLURM_JOB_ID"]), int(environ["SLURM_STEP_ID"])
    told = {PORT: environ.get(PORT) or str(PORTS[(64 * job + step) % len(PORTS)])}
    if "SLURM_CPUS_PER_TASK" in environ and not any(environ.get(name) for name in VARIABLES):
        told[VARIABLES[0]] = environ["SLURM_CPUS_PER_TASK"]
    return told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def reach(coordinator: str, patience: float, *, first: bool) -> None:
    """Nothing, or ValueError: on the first process for a port that is taken, on others where nobody listens there."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"--coordinator is {coordinator!r}: expected HOST:PORT")
    if first:
        check_free(port, f"--coordinator is {coordinator!r}")
        return
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.2)
    raise ValueError(f"--coordinator is {coordinator!r}: nobody there within {patience} s (--patience)")


def check_free(port: str, named: str) -> None:
    """ValueError where another program has the port here: JAX might share it without a word."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise ValueError(f"{named}: port {port} cannot be had ({error.strerror})") from None


def start(jobs: Sequence[Mapping[str, Any]], command: Sequence[str]) -> list[subprocess.Popen]:
    """A process for each job; several share this machine's processors."""
    share = max(processors() // len(jobs), 1)
    started = []
    for job in jobs:
        environ = {**os.environ, JOB: json.dumps(job)}
        if len(jobs) > 1 and not any(environ.get(name) for name in VARIABLES):
            environ[VARIABLES[0]] = str(share)
        # In a group of its own, as else a terminal's Ctrl-C would reach it twice: from there and from here.
        child = subprocess.Popen([sys.executable, "-m", "convnet.launch", *command], env=environ, process_group=0)
        started.append(child)
    return started


def watch(children: Sequence[subprocess.Popen], grace: float) -> int:
    """Until all have ended: the code of the first that failed, 1 where a signal ended it; 0 where none did.

    The others get so many seconds to notice by themselves. A signal to stop is handed on; a second one ends them.
    """
    stop, failed, since = StopRequest(), None, 0.0

    def heard(number: int, _: Any) -> None:
        for child in children:
            if child.poll() is None:
                child.kill() if stop else child.send_signal(number)
        stop.ask(number)

    for number in HEARD:
        signal.signal(number, heard)
    while any(child.poll() is None for child in children):
        if failed is None and (failed := _first_failed(children)) is not None:
            since = time.monotonic()
        if failed is not None and time.monotonic() - since > grace:
            for child in children:
                child.kill()
        time.sleep(0.05)
    failed = _first_failed(children) if failed is None else failed
    return 0 if failed is None else _told(failed, children[failed].returncode)


def _first_failed(children: Sequence[subprocess.Popen]) -> int | None:
    return next((i for i, child in enumerate(children) if child.poll()), None)


def _told(process: int, code: int) -> int:
    """The exit code for that of a process; why it ended, where a signal ended it, is printed."""
    if code > 0:
        return code
    name = signal.Signals(-code).name
    why = "as another process of the run died" if -code == signal.SIGABRT else f"by {name}"
    print(f"the run ended: process {process} was ended {why}; --resume goes on from what is saved", file=sys.stderr)
    return 1


def join(job: Mapping[str, Any]) -> None:
    """Meet the other processes. Only the first one prints."""
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, which is ours
    # What libraries below Python tell goes to standard error, and leaves standard output to the command.
    own = os.dup(1)
    os.dup2(2, 1)
    # Who waits at the end for one that died waits no longer than anybody would.
    jax.distributed.initialize(**job, shutdown_timeout_seconds=job["heartbeat_timeout_seconds"])
    if jax.process_index() > 0:
        own = os.open(os.devnull, os.O_WRONLY)
        os.environ[SILENT] = "1"
    sys.stdout = open(own, "w", encoding="utf-8", errors="replace", buffering=1)  # noqa: SIM115 (open to the end)


def run(command: Sequence[str]) -> None:
    """The command, as Python would run it."""
    target, sys.argv = command[0], list(command)
    if Path(target).is_file():
        sys.path.insert(0, str(Path(target).resolve().parent))
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)


def main(args: Sequence[str] | None = None) -> int:
    args = sys.argv[1:] if args is None else args
    if JOB in os.environ:
        job = json.loads(os.environ.pop(JOB))
        join(job)
        run(args)
        return 0
    settings = parser().parse_args(args)
    try:
        jobs = jobs_of(settings, os.environ)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if by_srun(settings, os.environ):  # in this process: Slurm sends a signal to all of a task's, and the second stops
        os.environ |= variables_of(os.environ)
        join(jobs[0])
        run(settings.command)
        return 0
    return watch(start(jobs, settings.command), min(settings.patience, GRACE))


if __name__ == "__main__":
    sys.exit(main())

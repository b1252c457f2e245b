"""The asking side of `benchmarks.parallel_worker`: processes that compute together, and how they are timed in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.interleave import Gap
from benchmarks.messages import encode
from benchmarks.networks import Network
from benchmarks.parallel import Crew, Question
from benchmarks.ratios import Sample
from convnet.record import write_json


class Team:
    """A crew at work on steps of a network. steps: of a program. timeout: seconds after which it is given up."""

    def __init__(self, crew: Crew, network: Network, steps: int, *, timeout: float):
        self.crew, self._timeout, self._asked = crew, timeout, 0
        self._folder = tempfile.TemporaryDirectory()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the processes run)
        settings = dict(processes=crew.processes, devices=crew.devices, steps=steps)
        settings |= dict(network=encode(network), precision="float32", asker=os.getpid())
        (self._path / "plan.json").write_text(json.dumps(settings), encoding="utf-8")
        together = ["-m", "convnet.launch", "--processes", str(crew.processes)] if crew.processes > 1 else ["-m"]
        command = [sys.executable, *together, "benchmarks.parallel_worker", self._folder.name]
        environment = machine.worker_environment(threads=None, tuned=False)
        environment |= {"JAX_PLATFORMS": "cpu", "PJRT_NPROC": str(crew.threads)}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=self._errors, stdin=subprocess.DEVNULL
        )

    @property
    def _path(self) -> Path:
        return Path(self._folder.name)

    def prepare(self, question: Question, *, run: bool = True) -> dict[str, Any]:
        """Compile, and run once: bytes of the arrays that the program sums up over devices."""
        return self._ask({"do": "prepare", "run": run, "about": asdict(question)})[0]

    def sample(self, question: Question, calls: int) -> Sample:
        """Of the slowest process; disturbed where others than the crew's were busy."""
        answers = self._ask({"do": "sample", "calls": calls, "about": asdict(question)})
        slowest = max(answers, key=lambda answer: answer["wall"])
        own = sum(answer["own"] for answer in answers)
        foreign = 0.0 if slowest["everybody"] is None else (slowest["everybody"] - own) / slowest["wall"]
        return Sample(slowest["seconds"], disturbed=foreign > machine.FOREIGN_LIMIT)

    def _ask(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        write_json(self._path / f"{self._asked}.json", question)
        paths = [self._path / f"{self._asked}-{process}.json" for process in range(self.crew.processes)]
        self._asked += 1
        end = time.monotonic() + self._timeout
        while not all(path.exists() for path in paths):
            if self._process.poll() is not None:
                raise Gap(self._crash())
            if time.monotonic() > end:
                raise Gap(f"no answer within {self._timeout:g} s")
            time.sleep(0.002)
        answers = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if gap := next((answer["gap"] for answer in answers if "gap" in answer), None):
            raise Gap(gap)
        return answers

    def _crash(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"crashed with code {self._process.returncode}" + (f": {said[-1][:200]}" if said else "")

    def close(self) -> None:
        if self._process.poll() is None:
            write_json(self._path / f"{self._asked}.json", {"do": "end"})
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self._process.terminate()
            self._process.wait()
        self._errors.close()
        self._folder.cleanup()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


@dataclass
class Cell:
    """What is known of a crew at a question. facts: of its compiled program."""

    crew: Crew
    question: Question
    samples: list[Sample] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    gap: str | None = None
    calls: int = 1


def measured(
    asked: Mapping[Crew, Sequence[Question]],
    network: Network,
    *,
    steps: int,
    rounds: int,
    seconds: float,
    timeout: float,
    on_cell: Callable[[Cell], None] = lambda cell: None,
) -> list[Cell]:
    """Every crew at its questions, in turns: one sample of each cell a round. seconds: length of a sample, at least one
    call of two or more steps. on_cell: called after each preparation and each sample."""
    cells = [Cell(crew, question) for crew, questions in asked.items() for question in questions]
    with ExitStack() as stack:
        teams = {crew: stack.enter_context(Team(crew, network, steps, timeout=timeout)) for crew in asked}
        for number in range(1 + rounds):
            for cell in cells:
                if cell.gap is None:
                    try:
                        _one(cell, teams[cell.crew], seconds, prepare=number == 0)
                    except Gap as gap:
                        cell.gap = str(gap)
                        cell.samples.clear()
                on_cell(cell)
    return cells


def _one(cell: Cell, team: Team, seconds: float, *, prepare: bool) -> None:
    if not prepare:
        cell.samples.append(team.sample(cell.question, cell.calls))
        return
    cell.facts = team.prepare(cell.question)
    start = time.perf_counter()
    team.sample(cell.question, 1)
    cell.calls = max(1, int(seconds / (time.perf_counter() - start)))

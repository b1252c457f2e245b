"""Do the tests notice a planted fault? Changes one place of the source at a time and runs the tests that belong to it.

    python -m scripts.mutation --area data             45 mutants of convnet/data, drawn at random; minutes
    python -m scripts.mutation --out mutants.jsonl     every area; the same command again goes on where it stopped
    python -m scripts.mutation --out mutants.jsonl --again     those that survived once more, after new tests
    python -m scripts.mutation --out mutants.jsonl --list      only counts: what there is, and what has been run

The mutants are those of cosmic-ray (pip install "convnet-lab[mutation]"). Tests run in a clone of the last commit, so
this checkout is never mutated, and changes in it that are not committed are not seen. What is drawn are places, each
with equal chance, then one mutant of each: else the dozen ways to replace an operator would crowd out the single way to
leave out a decorator. The draw depends on the seed and the place's own line alone, so that a change elsewhere leaves it
as it is. Left out are type annotations, `__all__`, the texts of errors, the `*` before arguments by name, and what is
no Python; docstrings hold nothing to mutate. A survivor that no test can notice is listed with its reason in
docs/mutation.md, and does not count.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import check_writable
from convnet.report import text_table
from convnet.settings import require
from scripts.mutants import AREAS, Area, draw, tests_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/mutation.md")
PATIENCE, AT_LEAST = 3, 30
"""A mutant gets so many times the seconds that its tests take without one, and no fewer than AT_LEAST."""


@dataclass(frozen=True)
class Mutation:
    """Plant faults in the source and count those that the tests notice."""

    area: tuple[str, ...] = tuple(AREAS)
    """Parts of the source."""
    sample: int = 45
    """Mutants to draw per area."""
    seed: int = 0
    """Of the draw."""
    out: Path | None = None
    """File of results, a line of JSON per mutant, written as they come; what it holds is not run again."""
    again: bool = False
    """Run those of `out` that survived once more, but for equivalent ones."""
    workers: int = 1
    """Mutants under test at a time, each in a copy of its own."""
    list: bool = False
    """Run nothing: count the mutants, and what `out` holds of those drawn."""


@contextmanager
def copies(root: Path, count: int) -> Iterator[queue.Queue]:
    """`count` clones of the repository's last commit, in a queue: whoever mutates one takes it out meanwhile."""
    with tempfile.TemporaryDirectory(prefix="convnet-mutation-") as folder:
        free: queue.Queue = queue.Queue()
        for i in range(count):
            copy = Path(folder, str(i))
            subprocess.run(["git", "clone", "-q", "--shared", str(root), str(copy)], check=True)
            if (copy / "convnet").is_dir():  # else convnet.experiments is that of the environment, which has no mutants
                (copy / "convnet" / "experiments").symlink_to(copy / "experiments")
            free.put(copy)
        yield free


def run_tests(copy: Path, tests: list[str], patience: float | None) -> tuple[str, float, str]:
    """How they ended ("passed", "failed", "time-out"), the seconds that it took, and what was printed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True
    )
    try:
        output, _ = process.communicate(timeout=patience)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and with it the processes that tests have started
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return "time-out", time.monotonic() - start, ""
    return "failed" if process.returncode else "passed", time.monotonic() - start, output


def judge(free: queue.Queue, area: Area, mutant: dict[str, Any], patience: float) -> dict[str, Any]:
    """Plant the mutant in a copy, run its tests, take it out again."""
    copy = free.get()
    path = copy / mutant["path"]
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutant["source"], encoding="utf-8")
        outcome, seconds, output = run_tests(copy, tests_of(copy, area, mutant["path"]), patience)
    finally:
        path.write_text(before, encoding="utf-8")
        free.put(copy)
    said = re.search(r"^(?:FAILED|ERROR) (\S+)", output, flags=re.MULTILINE)
    by = {"by": said[1]} if said else {}
    known = {name: value for name, value in mutant.items() if name != "source"}
    return {**known, "outcome": "survived" if outcome == "passed" else outcome, "seconds": round(seconds, 1), **by}


def run_area(free: queue.Queue, area: Area, todo: list[dict[str, Any]], workers: int, keep: Callable) -> None:
    """Judge the mutants `todo` and `keep` what becomes of each. Raises ValueError where tests fail without a mutant."""
    copy, patience = free.get(), {}
    for mutant in todo:
        tests = tests_of(copy, area, mutant["path"])
        if mutant["path"] not in patience:
            outcome, seconds, output = run_tests(copy, tests, None)
            if outcome != "passed":
                raise ValueError(f"tests fail without any mutant: {' '.join(tests)}\n{output[-2000:]}")
            patience[mutant["path"]] = max(PATIENCE * seconds, AT_LEAST)
    free.put(copy)
    with progress(len(todo), "mutant") as bar, ThreadPoolExecutor(workers) as pool:
        for done in pool.map(lambda mutant: judge(free, area, mutant, patience[mutant["path"]]), todo):
            keep(done)
            bar.update()


def read_results(path: Path | None) -> dict[str, dict[str, Any]]:
    """Results by mutant, the last of each. A line that was torn is no result: its mutant is run again."""
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else ():
        with suppress(ValueError):
            result = json.loads(line)
            results[result["id"]] = result
    return results


def table(drawn: dict[str, tuple[int, list]], results: dict[str, dict], equivalent: set[str]) -> list[list[str]]:
    """A row per area; first row headings."""
    rows = [["area", "mutants", "run", "noticed", "equivalent", "survived", "share noticed"]]
    for name, (count, mutants) in drawn.items():
        run = [results[mutant["id"]] for mutant in mutants if mutant["id"] in results]
        noticed = sum(result["outcome"] != "survived" for result in run)
        same = sum(result["outcome"] == "survived" and result["id"] in equivalent for result in run)
        share = f"{noticed / (len(run) - same):.0%}" if len(run) > same else ""
        rows.append([name, *map(str, (count, len(run), noticed, same, len(run) - noticed - same)), share])
    return rows


def show(mutant: dict[str, Any]) -> str:
    where = f"{mutant['id']}  {mutant['path']}:{mutant['line']}  {mutant['operator']}"
    return "\n".join([where, *mutant["diff"]])


def unnoticeable(page: Path) -> set[str]:
    """The mutants that the page's table calls equivalent."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def mutation(settings: Mutation) -> None:
    for name in settings.area:
        require(name in AREAS, "area", name, f"some of {', '.join(AREAS)}")
    for name in ("sample", "workers"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    if find_spec("cosmic_ray") is None:
        raise ValueError('cosmic-ray is not installed: pip install "convnet-lab[mutation]"')
    results, drawn = read_results(settings.out), {}
    if settings.out is not None:
        check_writable(settings.out.parent)

    def keep(result: dict[str, Any]) -> None:
        results[result["id"]] = result
        if settings.out is not None:
            with settings.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result, ensure_ascii=False) + "\n")

    def is_due(name: str) -> bool:
        return name not in results or (
            settings.again and results[name]["outcome"] == "survived" and name not in equivalent
        )

    with copies(ROOT, settings.workers) as free:
        root = free.queue[0]
        equivalent = unnoticeable(root / PAGE)
        for name, area in ((name, AREAS[name]) for name in settings.area):
            paths = sorted(path.relative_to(root).as_posix() for one in area.sources for path in root.glob(one))
            drawn[name] = draw(root, paths, settings.sample, settings.seed)
            todo = [one for one in drawn[name][1] if is_due(one["id"])]
            if todo and not settings.list:
                run_area(free, area, todo, settings.workers, keep)
    print(text_table(table(drawn, results, equivalent)))
    mutants = (mutant for _, mutants in drawn.values() for mutant in mutants if mutant["id"] not in equivalent)
    left = [mutant for mutant in mutants if results.get(mutant["id"], {}).get("outcome") == "survived"]
    print("".join(f"\n{show(mutant)}\n" for mutant in left), end="")


if __name__ == "__main__":
    sys.exit(run_command(Mutation, mutation))

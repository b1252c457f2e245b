"""Are the hand-derived gradients right, in every op and every model, and would the referee notice if they were not?

    python experiments/audit_gradients.py                       all ops at level standard, planted faults, false alarms
    python experiments/audit_gradients.py --op conv2d max_pool  two ops
    python experiments/audit_gradients.py --level quick         one case per op
    python experiments/audit_gradients.py --quick               a few ops: does everything run?

The same command again goes on where it was stopped. Measured answers stand in the README; `audit.json` and
`report.html` of a run hold all of it.
"""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from convnet.cli import run_command
from convnet.code import script_hash
from convnet.identity import versions
from convnet.progress import progress
from convnet.record import write_atomically
from convnet.report import study
from convnet.report.audit_page import Findings, account_of, write_audit
from convnet.settings import content_hash, require
from convnet.threads import processors

NETWORKS = {
    "linear": ("linear", {}, None),
    "mlp": ("mlp", dict(widths=(32, 16)), None),
    "cnn": ("cnn", dict(widths=(8, 16), head_width=32), None),
    "cnn, average pooling, tanh": ("cnn", dict(widths=(8,), pool="avg", head="global_avg", activation="tanh"), None),
    "cnn, batch norm": ("cnn", dict(widths=(8,), head_width=16, norm="batch"), None),
    "lenet5": ("lenet5", {}, (28, 28, 1)),
    "alexnet": ("alexnet", dict(width=1 / 32, dropout=0.0), (67, 67, 3)),
    "zfnet": ("zfnet", dict(width=1 / 32, dropout=0.0), (67, 67, 3)),
    "vgg11": ("vgg11", dict(width=1 / 32, dropout=0.0), (32, 32, 3)),
    "vgg16": ("vgg16", dict(width=1 / 16, dropout=0.0, norm="batch"), (32, 32, 3)),
    "resnet8": ("resnet8", dict(width=0.25), (9, 12, 3)),
    "resnet18": ("resnet18", dict(width=1 / 16, stem="large"), (33, 40, 3)),
    "resnet34": ("resnet34", dict(width=1 / 32), (16, 16, 3)),
    "airbench": ("airbench", dict(widths=(4, 8)), (9, 12, 3)),
}
"""Networks to audit: the model, the settings that make it small (no dropout, whose mask is drawn anew each time), and
the shape of the images that are drawn for it where digits are too small."""
QUICK_OPS, QUICK_NETWORKS = ("dense", "max_pool", "gelu"), ("linear", "mlp", "cnn")


@dataclass(frozen=True)
class Audit:
    """Audit every hand-derived gradient of the library, and the referee itself with planted wrong rules. Writes
    audit.json and a self-contained report.html. Exit code 1 when anything fails."""

    op: tuple[str, ...] = ()
    """Ops to audit. Default: all, and the models."""
    level: Literal["quick", "standard", "exhaustive"] = "standard"
    """quick: one case per op, in a minute. standard: every case. exhaustive: 1,000 random calls per op, in hours."""
    seeds: int = 8
    """Every right rule is audited again with other arguments, seeds 1, 2, …: none may be rejected."""
    planted: bool = True
    """Whether planted wrong rules are audited (all must be rejected), and the controls (none may be): of the ops, and
    without --op of functions that anybody might write."""
    jobs: int = field(default_factory=processors)
    """Processes. Default: the processors that this one may use."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/audit, and for a
    selection a directory of its own beside it."""
    quick: bool = False
    """Whether only three ops (unless --op names others) and three networks are audited, at level quick and without
    planted rules: a check that everything runs."""

    def resolved(self) -> Audit:
        """With what `quick` stands for."""
        if not self.quick:
            return self
        return replace(self, op=self.op or QUICK_OPS, level="quick", planted=False)

    @property
    def networks(self) -> bool:
        return not self.op or self.quick

    def asked(self) -> dict[str, Any]:
        """What decides the results: the settings but for the place and the processes."""
        resolved = self.resolved()
        names = ("level", "seeds", "planted", "networks")
        return {"op": sorted(set(resolved.op)), **{name: getattr(resolved, name) for name in names}}

    def directory(self) -> Path:
        usual = Path("runs", "audit-quick" if self.quick else "audit")
        return self.out or study.directory(usual, self.asked(), Audit(quick=self.quick).asked())


@dataclass(frozen=True)
class Task:
    """One thing to do in a process of its own: `kind` names the function below."""

    kind: str
    name: str
    index: int = 0
    seeds: int = 0
    level: str = "standard"


def run_task(task: Task) -> Any:
    """The result of a task; reports come back as they are, they hold nothing but numbers and strings."""
    from convnet.gradcheck import suite
    from convnet.gradcheck.worker import make_room

    try:
        return _result_of(task)
    finally:
        suite.auditor.cache_clear()
        make_room()


def _result_of(task: Task) -> Any:
    from convnet.gradcheck import suite

    if task.kind == "case":  # one task for all seeds, because they share the compiled programs
        report = suite.audit_case(task.name, task.index, level=task.level)
        return report, [
            suite.audit_case(task.name, task.index, seed=seed, level="quick", stages=suite.PLANTED_STAGES)
            for seed in range(1, task.seeds + 1)
        ]
    if task.kind == "formulations":
        return suite.audit_formulations(task.index, level="quick")
    if task.kind == "network":
        return audit_model(task.name)
    if task.kind == "errors":
        return suite.error_distribution(task.name)
    if task.kind == "anybody":
        return suite.audit_anybody(task.name)
    return suite.audit_planted(task.kind, task.name, seeds=task.seeds)


def audit_model(name: str):
    """One of the library's models in float64, on a few images, with parameters away from the zeros they start with."""
    import jax
    import numpy as np

    from convnet import data, models
    from convnet.gradcheck import audit_network

    family, settings, shape = NETWORKS[name]
    dataset, rng = data.load("digits"), np.random.default_rng(0)
    images, labels = np.asarray(dataset.train.images[:8], np.float64) / 16, np.asarray(dataset.train.labels[:8])
    if shape:
        images, labels = np.random.default_rng(1).random((2, *shape)), labels[:2]
    model = models.build(family, num_classes=len(dataset.class_names), precision="float64", **settings)
    with jax.enable_x64(True):
        start = model.init(jax.random.key(0), images)
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.05 * rng.normal(size=leaf.shape), start.pop("params"))

    def apply(ops, params, images):
        return model.clone(ops=ops).apply({"params": params, **start}, images, train=True)

    return audit_network(apply, params, images, labels, name=name)


def tasks_of(settings: Audit) -> list[Task]:
    """What to do, long tasks first."""
    from convnet.gradcheck import suite
    from convnet.gradcheck.evidence import CONTROLS, EVIDENCE, MUTANTS
    from convnet.gradcheck.evidence.anybody import RIGHT, WRONG

    settings = settings.resolved()
    ops = tuple(dict.fromkeys(settings.op)) or tuple(EVIDENCE)
    found = []
    for op in ops:
        seeds = 0 if settings.level == "quick" else settings.seeds
        found += [Task("case", op, index, seeds, settings.level) for index, _ in suite.cases(op, settings.level)]
        found += [Task("errors", op)] if settings.level != "quick" else []
    if "conv2d" in ops:
        found += [Task("formulations", "conv2d", index) for index, _ in suite.cases("conv2d", settings.level)]
    if settings.networks:
        found += [Task("network", name) for name in NETWORKS if name in QUICK_NETWORKS or not settings.quick]
    if settings.planted:
        found += [Task("mutant", rule.name, seeds=1) for rule in MUTANTS if rule.op in ops]
        found += [Task("control", rule.name, seeds=settings.seeds) for rule in CONTROLS if rule.op in ops]
    if settings.planted and settings.networks:
        found += [Task("anybody", example.name) for example in (*WRONG, *RIGHT)]
    return found


def results_of(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, Any]]:
    """Each task with its result, as they come; on standard error, how far it has got."""
    from convnet.gradcheck.worker import begin

    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork does not survive
    with ProcessPoolExecutor(jobs, context, begin, (True,)) as pool, progress(len(tasks), "task") as bar:
        waiting = {pool.submit(run_task, task): task for task in tasks}
        try:
            for future in as_completed(waiting):
                task = waiting[future]
                bar.set_postfix_str(f"{task.kind} {task.name}"[:40])
                bar.update()
                yield task, future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Unfinished:
    """Results of an audit that was stopped, a file for each task, under a digest of the code that they came from.

    seconds: that it had taken when the last of those that are read was kept.
    """

    def __init__(self, directory: Path):
        self.directory, self.seconds = directory, 0.0
        self._code = {"code": script_hash(Path(__file__)), **versions()["packages"]}

    def read(self, tasks: Sequence[Task]) -> dict[Task, Any]:
        """Task -> its result, of those that are there; a file that was torn is none."""
        found = {}
        for task in tasks:
            with suppress(Exception):  # what a torn file raises depends on where it was torn
                seconds, found[task] = pickle.loads(self._path(task).read_bytes())
                self.seconds = max(self.seconds, seconds)
        return found

    def keep(self, task: Task, seconds: float, result: Any) -> None:
        self.directory.mkdir(exist_ok=True)
        write_atomically(self._path(task), pickle.dumps((seconds, result)))

    def forget(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, task: Task) -> Path:
        return self.directory / f"{content_hash(asdict(task) | self._code)}.pickle"


def audit_all(settings: Audit) -> int:
    """Returns 1 where anything fails. Raises ValueError for bad input, before anything is written."""
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    require(settings.jobs >= 1, "jobs", settings.jobs, "1 or more")
    out, tasks = settings.directory(), tasks_of(settings)
    study.reserve(out, "audit", settings.asked())
    start, unfinished = time.perf_counter(), Unfinished(out / "unfinished")
    findings, done = Findings(settings.resolved().level), unfinished.read(tasks)
    for task, result in done.items():
        findings.add(task, result)
    for task, result in results_of([task for task in tasks if task not in done], settings.jobs):
        findings.add(task, result)
        unfinished.keep(task, unfinished.seconds + time.perf_counter() - start, result)
    findings.seconds = unfinished.seconds + time.perf_counter() - start
    missing = write_audit(out, findings)
    unfinished.forget()
    return max(study.conclude(out, account_of(findings), missing), 1 if findings.failures else 0)


def main() -> int:
    return run_command(Audit, audit_all, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())

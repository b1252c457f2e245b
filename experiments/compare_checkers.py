"""Who notices a wrong gradient: the checkers that people use, or ours?

    python experiments/compare_checkers.py           every planted rule and control, judged by every checker
    python experiments/compare_checkers.py --quick   the first few rules

The same rules at the same arguments go to `jax.test_util.check_grads` (float32 and float64), to torch's `gradcheck`
(slow and fast; each rule is wrapped into an `autograd.Function`, so torch's own test judges it) and to
`convnet.gradcheck`. torch comes with the extra `bench`; without it its columns stay empty. Measured answers stand in
the README.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from convnet.cli import run_command
from convnet.gradcheck import Auditor, suite
from convnet.gradcheck.evidence import CONTROLS, EVIDENCE, MUTANTS, Case
from convnet.gradcheck.program import Program
from convnet.identity import environment
from convnet.progress import progress
from convnet.record import write_json
from convnet.report import Part, Section, figures, study, text_table, write_report
from convnet.settings import require


@dataclass(frozen=True)
class CompareCheckers:
    """Let JAX's and torch's gradient checkers and ours judge the same planted faults and the same right rules: faults
    noticed, false alarms, seconds. Writes checkers.json and report.html."""

    seeds: int = 1
    """Arguments drawn per case of a right rule, for false alarms."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings or checkers is refused. Default: runs/checkers,
    and for other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """Two planted rules and one control: a check that everything runs."""


@dataclass(frozen=True)
class Verdict:
    """What one checker said about one rule."""

    checker: str
    rule: str
    kind: str
    """wrong or right."""
    condemned: bool
    seconds: float


Judge = Callable[[Callable, Case, int], bool]
"""(rule, case, seed) -> condemned?"""


def by_check_grads(rule: Callable, case: Case, seed: int, *, dtype: str) -> bool:
    """`check_grads` with its own tolerances, first and second order, reverse mode (a custom_vjp has no other)."""
    with jax.enable_x64(dtype == "float64"):
        args = case.draw(np.random.default_rng(seed))
        program = Program(rule, args, None, case.settings)
        leaves, constants = program.split(args, dtype)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        try:
            check_grads(lambda *leaves: program.plain(leaves, constants), leaves, order=2, modes=("rev",))
        except AssertionError:
            return True
    return False


def by_torch(rule: Callable, case: Case, seed: int, *, fast: bool) -> bool:
    """torch's `gradcheck` in float64 with its own tolerances, on the rule as a function of torch."""
    import torch

    with jax.enable_x64(True):
        args = case.draw(np.random.default_rng(seed))
        program = Program(rule, args, None, case.settings)
        leaves, constants = program.split(args)

        class Rule(torch.autograd.Function):
            @staticmethod
            def forward(context, *tensors):
                context.save_for_backward(*tensors)
                value = program.value([t.detach().numpy() for t in tensors], constants)
                return tuple(torch.from_numpy(np.array(v)) for v in value)

            @staticmethod
            def backward(context, *g):
                tensors = [t.detach().numpy() for t in context.saved_tensors]
                gradients = program.vjp(tensors, constants, [value.numpy() for value in g])
                return tuple(torch.from_numpy(np.array(v)) for v in gradients)

        tensors = [torch.from_numpy(leaf.copy()).requires_grad_() for leaf in leaves]
        return not torch.autograd.gradcheck(Rule.apply, tensors, fast_mode=fast, raise_exception=False)


def by_convnet(rule: Callable, case: Case, seed: int) -> bool:
    """Our audit at level quick: reference, oracle, conventions and all."""
    auditor: Auditor = suite.auditor_of(rule, case, kinks=True)
    args = case.draw(np.random.default_rng(seed))
    report = auditor.audit(args, seed=seed, level="quick", stages=suite.PLANTED_STAGES, until_failure=True)
    return bool(report.failures)


def judges() -> dict[str, Judge]:
    """The checkers that are installed."""
    found: dict[str, Judge] = {
        "convnet, level quick": by_convnet,
        "check_grads, float32": partial(by_check_grads, dtype="float32"),
        "check_grads, float64": partial(by_check_grads, dtype="float64"),
    }
    if find_spec("torch"):
        found["torch gradcheck, slow"] = partial(by_torch, fast=False)
        found["torch gradcheck, fast"] = partial(by_torch, fast=True)
    else:
        print("torch is not installed (extra bench): its gradcheck is left out", file=sys.stderr)
    return found


def verdict(checker: str, judge: Judge, rule, kind: str, seeds: int) -> Verdict:
    """Condemned if any of its cases is; an error that the checker raises on its way counts as a condemnation."""
    start, condemned, planted = time.perf_counter(), False, rule.build()
    for case in rule.cases or EVIDENCE[rule.op].cases[: suite.PLANTED_CASES]:
        for seed in range(seeds):
            try:
                condemned = condemned or judge(planted, case, seed)
            except Exception as error:
                print(f"{checker} on {rule.name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
                condemned = True
        if condemned and kind == "wrong":
            break
    return Verdict(checker, rule.name, kind, condemned, time.perf_counter() - start)


def table_of(verdicts: list[Verdict]) -> list[list[str]]:
    rows = [["checker", "wrong rules noticed", "right rules condemned", "median s / rule"]]
    for checker in dict.fromkeys(v.checker for v in verdicts):
        wrong, right = ([v for v in verdicts if (v.checker, v.kind) == (checker, kind)] for kind in ("wrong", "right"))
        rows.append(
            [
                checker,
                f"{sum(v.condemned for v in wrong)} of {len(wrong)}",
                f"{sum(v.condemned for v in right)} of {len(right)}",
                f"{np.median([v.seconds for v in wrong + right]):.2g}",
            ]
        )
    return rows


def _counts(verdicts: list[Verdict], kind: str) -> dict[str, tuple[int, int]]:
    """Checker -> (condemned, judged) among the rules of one kind."""
    found: dict[str, tuple[int, int]] = {}
    for v in (v for v in verdicts if v.kind == kind):
        condemned, judged = found.get(v.checker, (0, 0))
        found[v.checker] = condemned + v.condemned, judged + 1
    return found


def rule_table(verdicts: list[Verdict]) -> list[list[str]]:
    """Rule × checker; what was judged wrongly is in capitals."""
    checkers = list(dict.fromkeys(v.checker for v in verdicts))
    said = {(v.rule, v.checker): v for v in verdicts}
    rows = [["rule", "in truth", *checkers]]
    for rule in dict.fromkeys(v.rule for v in verdicts):
        kind = next(v.kind for v in verdicts if v.rule == rule)
        cells = []
        for checker in checkers:
            condemned = said[rule, checker].condemned
            word = "condemned" if condemned else "believed"
            cells.append(word if condemned == (kind == "wrong") else word.upper())
        rows.append([rule, kind, *cells])
    return rows


def compare_checkers(settings: CompareCheckers) -> int:
    """Judge all rules and write the directory: 0, or 1 where a part of the report could not be made."""
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    checkers = judges()
    plan = {"seeds": settings.seeds, "checkers": list(checkers), "quick": settings.quick}
    usual = plan | {"seeds": CompareCheckers.seeds}
    out = settings.out or study.directory(Path("runs", "checkers" + ("-quick" if settings.quick else "")), plan, usual)
    study.check_same(out, "compare_checkers", plan)
    verdicts = all_verdicts(settings, checkers)
    study.claim(out, "compare_checkers", plan)
    misjudged = [asdict(v) for v in verdicts if v.condemned != (v.kind == "wrong")]
    found = dict(table=table_of(verdicts), misjudged=misjudged, verdicts=[asdict(v) for v in verdicts])
    write_json(out / "checkers.json", dict(environment=environment(), **found))
    missing = write_checkers(out / "report.html", verdicts)
    print(text_table(table_of(verdicts)))
    print(f"\nreport: {out / 'report.html'}")
    return study.tell(missing)


def all_verdicts(settings: CompareCheckers, checkers: dict[str, Judge]) -> list[Verdict]:
    wrong = [rule for rule in MUTANTS if not rule.equivalent]
    right = [*CONTROLS, *(rule for rule in MUTANTS if rule.equivalent)]
    if settings.quick:
        wrong = [rule for rule in wrong if rule.op == "relu"][:2]
        right = [rule for rule in right if rule.op == "relu"][:1]
    rules = [(rule, "wrong") for rule in wrong] + [(rule, "right") for rule in right]
    verdicts = []
    with progress(len(rules) * len(checkers), "verdict") as bar:
        for rule, kind in rules:
            for name, judge in checkers.items():
                bar.set_postfix_str(f"{rule.name}, {name}"[:60])
                verdicts.append(verdict(name, judge, rule, kind, settings.seeds))
                bar.update()
    return verdicts


def write_checkers(path: Path, verdicts: list[Verdict]) -> list[str]:
    """The page; what of it could not be made."""

    def counted() -> Section:
        counts = {
            "wrong rules noticed": _counts(verdicts, "wrong"),
            "right rules condemned": _counts(verdicts, "right"),
        }
        title = "Noticed and falsely condemned"
        return Section(title, figure=figures.shares(counts), caption="Left, more is better; right, less is.")

    parts = [
        Section("Checkers", table=table_of(verdicts)),
        Part("Noticed and falsely condemned", counted),
        Section("Every rule", "What was judged wrongly is in capitals.", table=rule_table(verdicts)),
    ]
    return write_report(path, "Who notices a wrong gradient", study.circumstances(environment()), parts)


def main(args: list[str] | None = None) -> int:
    return run_command(CompareCheckers, compare_checkers, args)


if __name__ == "__main__":
    sys.exit(main())

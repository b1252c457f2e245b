"""Planted rules and right ones before the checkers that people use, and ours: what each says, and in tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import jax
import numpy as np

from convnet.gradcheck import suite
from convnet.gradcheck.audit import Auditor
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.evidence import EVIDENCE, Case
from convnet.gradcheck.evidence.anybody.example import Example
from convnet.gradcheck.peers import rejected_by_check_grads, rejected_by_gradcheck


@dataclass(frozen=True)
class Verdict:
    """What one checker said about one rule."""

    checker: str
    rule: str
    kind: str
    """wrong or right."""
    rejected: bool
    seconds: float
    anybody: bool = False
    """Whether it is a function that anybody might write, and not a rule for an op."""

    @property
    def right(self) -> bool:
        return self.rejected == (self.kind == "wrong")


Checker = Callable[[Callable, Case | Example, int], bool]
"""(rule, case, seed) -> whether it rejects the rule. An Example is its own case."""


def prepared(rule: Callable, case: Case | Example, seed: int) -> tuple[CompiledFunction, tuple]:
    """A rule as a function of arrays, and its arguments."""
    rng = np.random.default_rng(seed)
    if isinstance(case, Example):
        call = case.build(rng)
        return CompiledFunction(call["fn"], call["args"], call.get("argnums"), call.get("settings")), call["args"]
    args = case.draw(rng)
    return CompiledFunction(rule, args, None, case.settings), args


def by_check_grads(rule: Callable, case: Case | Example, seed: int, *, dtype: str) -> bool:
    """`check_grads` with its own tolerances, first and second order, reverse mode (a custom_vjp has no other)."""
    with jax.enable_x64(dtype == "float64"):
        program, args = prepared(rule, case, seed)
        leaves, constants = program.split(args, dtype)
        plain = lambda *leaves: program.plain(leaves, constants)  # noqa: E731
        return rejected_by_check_grads(plain, leaves, order=2, modes=("rev",))


def by_torch(rule: Callable, case: Case | Example, seed: int, *, fast: bool) -> bool:
    """torch's `gradcheck`, on the rule as a function of torch; a Jacobian too large for it is not rejected."""
    with jax.enable_x64(True):
        program, args = prepared(rule, case, seed)
        return bool(rejected_by_gradcheck(program, args, fast=fast))


def by_convnet(rule: Callable, case: Case | Example, seed: int) -> bool:
    """Our audit: reference, oracle, conventions and all."""
    if isinstance(case, Example):
        return suite.audit_anybody(case.name).killed_by is not None
    auditor: Auditor = suite.auditor_of(rule, case, kinks=True)
    args = case.draw(np.random.default_rng(seed))
    report = auditor.audit(args, seed=seed, level="quick", stages=suite.PLANTED_STAGES, until_failure=True)
    return bool(report.failures)


def installed() -> dict[str, Checker]:
    """The checkers that are installed."""
    found: dict[str, Checker] = {
        "convnet": by_convnet,
        "check_grads, float32": partial(by_check_grads, dtype="float32"),
        "check_grads, float64": partial(by_check_grads, dtype="float64"),
    }
    if find_spec("torch"):
        found["torch gradcheck, slow"] = partial(by_torch, fast=False)
        found["torch gradcheck, fast"] = partial(by_torch, fast=True)
    else:
        print("torch is not installed (extra bench): its gradcheck is left out", file=sys.stderr)
    return found


def verdict(name: str, checker: Checker, rule, kind: str, seeds: int) -> Verdict:
    """Rejected if it is at any of its cases; an error that the checker raises on its way counts as a rejection."""
    start, rejected, anybody = time.perf_counter(), False, isinstance(rule, Example)
    planted = None if anybody else rule.build()
    for case in [rule] if anybody else rule.cases or EVIDENCE[rule.op].cases[: suite.PLANTED_CASES]:
        for seed in range(seeds):
            try:
                rejected = rejected or checker(planted, case, seed)
            except Exception as error:
                print(f"{name} on {rule.name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
                rejected = True
    return Verdict(name, rule.name, kind, rejected, time.perf_counter() - start, anybody)


GROUPS = {
    "wrong rules noticed": ("wrong", False),
    "right rules rejected": ("right", False),
    "anybody's wrong ones noticed": ("wrong", True),
    "anybody's right ones rejected": ("right", True),
}


def counts(verdicts: list[Verdict]) -> dict[str, dict[str, tuple[int, int]]]:
    """Kind of rule, in words -> checker -> (how many it rejected, of how many)."""
    found = {}
    for words, group in GROUPS.items():
        said: dict[str, list[bool]] = {v.checker: [] for v in verdicts}
        for v in (v for v in verdicts if (v.kind, v.anybody) == group):
            said[v.checker].append(v.rejected)
        found[words] = {name: (sum(rejected), len(rejected)) for name, rejected in said.items()}
    return found


def table_of(verdicts: list[Verdict]) -> list[list[str]]:
    counted = counts(verdicts)
    rows = [["checker", *counted, "median s / rule"]]
    for checker in dict.fromkeys(v.checker for v in verdicts):
        cells = ["{} of {}".format(*of_kind[checker]) for of_kind in counted.values()]
        rows.append([checker, *cells, f"{np.median([v.seconds for v in verdicts if v.checker == checker]):.2g}"])
    return rows


def rule_table(verdicts: list[Verdict]) -> list[list[str]]:
    """Rule × checker; where a checker was wrong, its word is in capitals."""
    rows: dict[str, list[str]] = {}
    for v in verdicts:
        word = "rejected" if v.rejected else "believed"
        rows.setdefault(v.rule, [v.rule, v.kind]).append(word if v.right else word.upper())
    return [["rule", "in truth", *dict.fromkeys(v.checker for v in verdicts)], *rows.values()]

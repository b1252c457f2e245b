"""Mutants of the source: which there are (cosmic-ray's operators), a seeded draw, and the tests that should notice."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Area(NamedTuple):
    """sources: files, or patterns. nearest: a source's name -> the tests that ought to notice, where the one of the
    mirrored path does not exist or is not alone. tests: those of every other source."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    nearest: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 (never written to)


FROZEN = "tests/test_frozen.py"
"""Whatever the source, last."""
CELLS = ("tests/experiments/test_ablate_resumed.py", "tests/experiments/test_ablate.py")
COMPARED = ("tests/report/test_comparison_page.py", "tests/experiments/test_compare.py")
COMMANDS = ("tests/experiments/test_options.py", "tests/experiments/test_defaults.py")
RUNS = ("tests/test_run.py", "tests/test_run_directory.py", "tests/test_same_run.py")
AREAS = {
    "data": Area(("convnet/data/*.py",), ("tests/data",)),
    "train": Area(
        ("convnet/train/*.py",),
        ("tests/train", "tests/test_run.py"),
        {
            "checkpoint": ("tests/train/test_checkpoint.py", "tests/test_journal.py"),
            "host": ("tests/train/test_checkpoint.py", "tests/test_journal.py"),
            "programs": ("tests/test_run.py", "tests/test_same_run.py"),
            "progress": ("tests/train/test_loop.py",),
        },
    ),
    "task": Area(
        ("convnet/task.py", "convnet/optim.py", "convnet/config.py", "convnet/recipes.py"),
        ("tests/test_config.py", "tests/test_optim.py", "tests/test_task.py", "tests/test_trained.py"),
        {
            "task": ("tests/test_task.py", "tests/test_trained.py"),
            "recipes": ("tests/test_recipes.py", "tests/experiments/test_compare.py"),
        },
    ),
    "ablation": Area(
        ("convnet/ablation/*.py",),
        ("tests/ablation", *CELLS, "tests/experiments/test_ablate_refused.py", "tests/experiments/test_presets.py"),
        {
            "cells": ("tests/ablation/test_cells.py", *CELLS),
            "plan": ("tests/ablation/test_plan.py", "tests/experiments/test_presets.py"),
            "results": CELLS,
            "summary": ("tests/ablation/test_summary.py", "tests/scripts/test_update_ablations.py"),
            "twins": ("tests/ablation/test_grid.py", "tests/experiments/test_ablate_refused.py"),
            "family": ("tests/ablation/test_family.py", *COMPARED),
            "stats": ("tests/ablation/test_stats.py", "tests/ablation/test_outcomes.py"),
        },
    ),
    "records": Area(
        tuple(f"convnet/{name}.py" for name in ("journal", "record", "result", "run", "identity", "trained")),
        ("tests/test_journal.py", "tests/test_record.py", "tests/test_result.py", "tests/test_identity.py", *RUNS),
        {
            "journal": ("tests/test_journal.py", "tests/test_run_directory.py"),
            "record": ("tests/test_record.py", "tests/test_journal.py"),
            "result": ("tests/test_result.py", "tests/test_run_directory.py"),
            "run": RUNS,
            "identity": ("tests/test_identity.py", "tests/test_same_run.py"),
        },
    ),
    "report": Area(
        ("convnet/report/*.py", "convnet/report/figures/*.py"),
        ("tests/report", "tests/experiments/test_compare_checkers.py"),
        {
            "ablation_page": ("tests/report/test_ablation.py", "tests/report/test_ablation_published.py"),
            "audit_page": ("tests/report/test_audit_published.py", "tests/experiments/test_audit_gradients.py"),
            "backprop_page": ("tests/report/test_trial_published.py", "tests/experiments/test_trial.py"),
            "comparison_page": ("tests/report/test_comparison_published.py", "tests/report/test_comparison_page.py"),
            "page": ("tests/report/test_page.py",),
            "panels": ("tests/report/test_sizes.py", "tests/report/test_training_figures.py"),
            "ablation": (
                "tests/report/test_sizes.py",
                "tests/report/test_ablation_figures.py",
                "tests/report/test_ablation_published.py",
            ),
            "audit": (
                "tests/report/test_sizes.py",
                "tests/report/test_audit_figures.py",
                "tests/report/test_picture.py",
            ),
            "benchmarks": (
                "tests/report/test_sizes.py",
                "tests/report/test_benchmark_figures.py",
                "tests/report/test_picture.py",
            ),
            "training": (
                "tests/report/test_sizes.py",
                "tests/report/test_training_figures.py",
                "tests/report/test_picture.py",
            ),
        },
    ),
    "experiments": Area(
        ("experiments/*.py",),
        ("tests/experiments",),
        {
            name: (*(f"tests/experiments/{test}.py" for test in tests), *COMMANDS)
            for name, tests in {
                "ablate": ("test_ablate", "test_ablate_refused", "test_ablate_resumed", "test_presets"),
                "audit_gradients": ("test_audit_gradients",),
                "backprop_by_hand": ("test_backprop_by_hand", "test_trial"),
                "compare": ("test_compare",),
                "compare_checkers": ("test_compare_checkers", "test_every_experiment"),
                "predict": ("test_predict",),
                "reproduce": ("test_reproduce",),
                "train": ("test_train",),
            }.items()
        },
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One operator of cosmic-ray at one place of one file."""

    path: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    def apply(self, source: str) -> str:
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return mutate_code(source, get_operator(self.operator)(), self.occurrence)


def text_spans(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where there is nothing to test: annotations, `__all__` and what the texts of errors are made of."""
    found: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.arg() | ast.AnnAssign():
                found.append(node.annotation)
            case ast.FunctionDef():
                found.append(node.returns)
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                found.append(node)
            case ast.Raise(exc=ast.Call(args=args)):
                found += args
            case ast.Call(func=ast.Name(id="require"), args=[_, *text]):
                found += text
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in found if n is not None]


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a file that there is something to test about."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    spans, nodes, found = text_spans(source), list(ast_nodes(get_ast(source))), []
    lines = source.split("\n")
    for name in operator_names():
        if get_operator(name).arguments():
            continue  # replaces variables by name, and would have to be told which
        operator = get_operator(name)()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            marker = lines[start[0] - 1][start[1] :].startswith("*,")  # of arguments by name, no product
            if not marker and not any(low <= start < high for low, high in spans):
                found.append(Mutant(path, name, occurrence, tuple(start), tuple(end)))
    return found


def rank(*what: object) -> str:
    """A place in an order that is as good as random, and the same however long the list."""
    return hashlib.sha256(" ".join(map(str, what)).encode()).hexdigest()


def draw(root: Path, paths: list[str], count: int, seed: int) -> tuple[int, list[dict[str, Any]]]:
    """How many mutants there are, and `count` of them, each of another place, as `path`, `source`, `diff` and so on."""
    sources = {path: (root / path).read_text(encoding="utf-8") for path in paths}
    places = defaultdict(list)
    for mutant in (mutant for path in paths for mutant in mutants_of(path, sources[path])):
        places[mutant.path, mutant.start, mutant.end].append(mutant)
    alike, order = defaultdict(int), []
    for (path, start, end), mutants in sorted(places.items()):
        line = sources[path].splitlines()[start[0] - 1].strip()
        key = (seed, path, line, start[1], end[1])
        alike[key] += 1
        chances = sorted(range(len(mutants)), key=lambda i: rank(*key, alike[key], i))
        order.append((rank(*key, alike[key]), [mutants[i] for i in chances]))
    drawn = []
    for place, mutants in sorted(order, key=lambda item: item[0]):
        described = (_described(mutant, sources[mutant.path], place) for mutant in mutants)
        if len(drawn) < count and (first := next(filter(None, described), None)):
            drawn.append(first)
    return sum(map(len, places.values())), drawn


def _described(mutant: Mutant, source: str, place: str) -> dict[str, Any] | None:
    """What is to be known of a mutant; None where it is no Python."""
    mutated = mutant.apply(source)
    try:
        ast.parse(mutated)
    except SyntaxError:
        return None
    lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=0, lineterm="")
    diff = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    name = rank(place, *diff)[:10]
    what = {"id": name, "path": mutant.path, "line": mutant.start[0], "operator": mutant.operator.removeprefix("core/")}
    return {**what, "diff": diff, "source": mutated}


def tests_of(root: Path, area: Area, path: str) -> list[str]:
    """The tests that ought to notice a mutant of the file `path`, likeliest first."""
    package, name = Path(path).parent, Path(path).stem
    mirrored = Path("tests", *package.parts[package.parts[:1] == ("convnet",) :], f"test_{name}.py").as_posix()
    tests = area.nearest.get(name) or ([mirrored] if (root / mirrored).exists() else area.tests)
    return [test for test in (*tests, FROZEN) if (root / test).exists()]

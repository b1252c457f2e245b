"""The tables and the page of `ablate`, from whatever cells are finished."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convnet.ablation import COVERAGE
from convnet.ablation.cells import Done
from convnet.ablation.results import ArmResult, analyse, rows_of
from convnet.config import recorded
from convnet.identity import environment
from convnet.report import figures, study
from convnet.report.page import Page, Part, Section, write_report
from convnet.report.tables import ABLATION_HEAD, ablation_cells, remark_lines, text_table

SCORE = (
    "Test accuracy: mean over all seeds, with its 95 % interval by Student's t; the test images were looked at once "
    "per run, with the parameters of the epoch that was best on the validation images. A run that diverged counts as "
    "guessing, 1 / number of classes."
)


def write_ablation(out: Path, plan: dict[str, Any], done: Sequence[Done]) -> tuple[str, list[str]]:
    """Write results.csv, summary.json and report.html; the table, as text, and what could not be made."""
    results = analyse(plan, done)
    cells = _counts(plan, results)
    summary = {"plan": plan, "cells": cells, "arms": [r.summary() for r in results]}
    study.write_results(out, "summary.json", summary, _environment(done), rows_of(plan, results))
    missing = write_report(out / "report.html", *ablation_page(plan, results))
    lines = _remarks(results)
    if unfinished := cells["planned"] - cells["finished"]:
        lines.append(f"{unfinished} of {cells['planned']} cells are not finished")
    return "\n".join([text_table(table(results)), *lines]), missing


def _counts(plan: dict[str, Any], results: Sequence[ArmResult]) -> dict[str, int]:
    return {
        "planned": len(plan["arms"]) * plan["seeds"],
        "finished": sum(len(r.cells) for r in results),
        "diverged": sum(r.diverged for r in results),
    }


def _environment(done: Sequence[Done]) -> dict[str, Any]:
    """That of the cells, by their first: the report may be written elsewhere."""
    facts = done[0].facts
    return {name: facts.get(name) for name in environment()}


def table(results: Sequence[ArmResult]) -> list[list[str]]:
    """An ablation for people, first row headings."""
    rows = [["arm", "seeds", "diverged", *ABLATION_HEAD]]
    for r in results:
        rows.append([r.name, f"{len(r.cells)}", f"{r.diverged or ''}", *ablation_cells(r.summary())])
    return rows


def _remarks(results: Sequence[ArmResult]) -> list[str]:
    return remark_lines({r.name: r.said.remarks for r in results})


# --- the page ---------------------------------------------------------------------------------------------------------


def ablation_page(plan: dict[str, Any], results: Sequence[ArmResult]) -> Page:
    """The page of what `analyse` gave."""
    makers = {
        "Paired differences": _differences,
        "Curves": _curves,
        "Interaction": _interaction,
        "Cost": _costs,
        "Settings": _settings,
    }
    parts = [_results(results), *(Part(title, partial(make, plan, results)) for title, make in makers.items())]
    return Page(f"Ablation of {', '.join(plan['factors'])}", _facts(plan, results), parts)


def _facts(plan: dict[str, Any], results: Sequence[ArmResult]) -> dict[str, str]:
    cells, counts = [d for r in results for d in r.cells], _counts(plan, results)
    where, devices = _environment(cells), sorted({d.facts["device"] for d in cells})
    levels = [f"{name}: {', '.join(levels)}" for name, levels in plan["factors"].items()]
    data = plan["base"]["data"]
    limit = f", {data['limit']} training images" if data["limit"] else ""
    question = {"question": plan["question"]} if plan["question"] else {}
    return question | {
        "data": f"{data['name']}{limit}",
        "factors": "; ".join(levels),
        "design": f"{plan['design']}: {len(plan['arms'])} arms × {plan['seeds']} seeds, paired",
        "compared with": plan["arms"][0]["name"],
        "cells": f"{counts['finished']} of {counts['planned']} finished, {counts['diverged']} of them diverged",
        **study.circumstances(where, ", ".join(devices)),
    }


def _settings(plan: dict[str, Any], results: Sequence[ArmResult]) -> list[Section]:
    return study.settings_sections({arm["name"]: recorded(arm["config"]) for arm in plan["arms"]})


def _results(results: Sequence[ArmResult]) -> Section:
    return Section(
        "Results",
        text="; ".join(_remarks(results)),
        table=table(results),
        caption=f"{SCORE} The difference is paired by seed: the same seed has the same data order in every arm (where "
        "batches are equal) and, where shapes agree, the same random numbers behind its initial weights. Its interval "
        "and p are those of Student's paired t, p corrected for the number of arms (Holm). Detectable: the smallest "
        "true difference that one test of so many pairs would find at 5 % in four of five ablations; what is smaller "
        f"may well exist. All in percentage points. {COVERAGE}{_divergences(results)}",
    )


def _divergences(results: Sequence[ArmResult]) -> str:
    """Who diverged more often than the base, beyond chance."""
    found = [
        f"{r.name} (p = {r.said.divergence_p:.2g})"
        for r in results
        if r.diverged and r.said.divergence_p < figures.LEVEL
    ]
    listed = ", ".join(found)
    return f" Diverged more or less often than the base, by McNemar's exact test: {listed}." if found else ""


def _differences(plan: dict[str, Any], results: Sequence[ArmResult]) -> Section | None:
    figure = figures.differences_figure([r.summary() for r in results])
    if figure is None:
        return None
    return Section.of(
        "Paired differences",
        figure,
        f"Differences in test accuracy to {plan['arms'][0]['name']}, arm by arm, with their intervals.",
        "Mean difference with its 95 % interval, where there is one; filled and orange where p < 0.05. Grey: "
        "differences that so many seeds would probably have missed.",
    )


def _curves(plan: dict[str, Any], results: Sequence[ArmResult]) -> Section | None:
    trained = [r for r in results if r.survivors]
    if not trained:
        return None
    by_epoch = len({r.cells[0].cell.config.train.epochs for r in trained}) == 1
    curves = {}
    for r in trained:
        runs = [done.records for done in r.survivors]
        x = np.array([record.epoch if by_epoch else record.step for record in runs[0]])
        curves[r.name] = {name: (x, *_band(values)) for name, values in study.histories(runs).items()}
    over = "epoch" if by_epoch else "updates"
    return Section.of(
        "Curves",
        figures.bands(curves, study.CURVES, over),
        f"Training loss, validation loss and validation error of {len(curves)} arms, by {over}.",
        "Geometric mean over the seeds that did not diverge, and the band from the lowest to the highest of them. The "
        "training loss is the mean over an epoch's steps, with augmentation and dropout.",
    )


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle, lowest and highest over the seeds of [seeds, epochs]; the middle suits a logarithmic axis."""
    positive = np.maximum(values, 1e-12)
    return np.exp(np.log(positive).mean(axis=0)), positive.min(axis=0), positive.max(axis=0)


def _interaction(plan: dict[str, Any], results: Sequence[ArmResult]) -> Section | None:
    if len(plan["factors"]) != 2 or plan["design"] == "one-at-a-time":
        return None
    (row_name, rows), (column_name, columns) = ((name, list(levels)) for name, levels in plan["factors"].items())
    values = np.full((len(rows), len(columns)), np.nan)
    for r in results:
        values[rows.index(r.levels[row_name]), columns.index(r.levels[column_name])] = 100 * r.said.score.mean
    return Section.of(
        "Interaction",
        figures.interaction(values, rows, columns, (row_name, column_name)),
        f"Mean test accuracy for each level of {row_name} with each of {column_name}.",
        "Mean test accuracy of each combination. Without interaction, all rows differ by the same amount in every "
        "column.",
    )


def _costs(plan: dict[str, Any], results: Sequence[ArmResult]) -> Section | None:
    seconds = {r.name: np.array([d.facts["train_seconds"] for d in r.survivors]) for r in results if r.survivors}
    if not seconds:
        return None
    return Section.of(
        "Cost",
        figures.costs(seconds, "seconds of training per run"),
        "Seconds of training of every run, arm by arm, with their median.",
        "Each point is a run, the bar ends at their median, which stands at the right. Compilation (once per arm) and "
        "evaluation are not in it. Runs that shared the processors with others took longer than alone.",
    )

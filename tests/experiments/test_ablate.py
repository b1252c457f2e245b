"""The ablation: what it writes, and what it says of intervals."""

import html
import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from convnet.experiments import ablate

from convnet import data, train
from convnet.ablation import COVERAGE, mean_interval
from convnet.ablation.cells import cells_of, read
from convnet.ablation.results import analyse
from convnet.cli import parse_command
from convnet.config import RunConfig
from convnet.record import parameter_hash
from convnet.report.ablation_page import write_ablation
from convnet.run import Trainer
from convnet.settings import content_hash, from_dict
from tests.experiments.ablations import BASE, GRID, row_of, rows_of, run

pytestmark = pytest.mark.usefixtures("unseen_pictures")

# --- what it writes ---------------------------------------------------------------------------------------------------


def test_one_row_per_arm_and_seed(finished):
    rows = rows_of(finished)
    assert [(row["optim.name"], row["model.initializer"], row["seed"]) for row in rows] == [
        (name, start, seed) for name in ("sgd", "nesterov") for start in ("zeros", "normal") for seed in "012"
    ]
    assert {row["status"] for row in rows} == {"finished"}
    assert all(row["score"] == row["test_accuracy"] != "" for row in rows)
    assert all(float(row["score"]) == int(row["test_hits"]) / int(row["test_images"]) for row in rows)


def test_a_cell_is_the_single_run_bit_for_bit(finished):
    row = row_of(finished, "sgd", "normal", 1)
    manifest = json.loads((finished / "cells" / row["cell"] / "manifest.json").read_text())
    config = from_dict(RunConfig, manifest["config"])
    assert (content_hash(config), config.seed, config.optim.name) == (row["cell"], 1, "sgd")
    result = Trainer(config, data.load("digits", limit=200)).run()
    assert parameter_hash(result.variables) == row["parameter_hash"] == manifest["parameter_hash"]
    assert result.test_accuracy == float(row["test_accuracy"])
    lines = (finished / "cells" / row["cell"] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train_loss"] for line in lines] == [record.train_loss for record in result.records]


def test_summary_is_that_of_the_rows(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["cells"] == {"planned": 12, "finished": 12, "diverged": 0}
    scores = {}
    for row in rows_of(finished):
        scores.setdefault(row["arm"], []).append(float(row["test_accuracy"]))
    base, *others = summary["arms"]
    assert (base["arm"], base["effect"]) == ("optim sgd, initializer zeros", None)
    for arm in summary["arms"]:
        assert [arm["test_accuracy"], *arm["interval95"]] == pytest.approx(
            mean_interval(scores[arm["arm"]]), nan_ok=True
        )
    for arm in others:
        differences = np.subtract(scores[arm["arm"]], scores[base["arm"]])
        assert arm["effect"]["pairs"] == 3
        assert arm["effect"]["difference"][0] == pytest.approx(differences.mean())
        assert arm["effect"]["p_holm"] >= arm["effect"]["p"]


def test_the_page_holds_tables_and_figures(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    for heading in ("Results", "Paired differences", "Curves", "Interaction", "Cost", "Settings", "Settings in common"):
        assert f"<h2>{heading}</h2>" in page
    assert "optim nesterov, initializer normal" in page
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures - {".written.json"} == {"paired-differences.png", "curves.png", "interaction.png", "cost.png"}
    assert "<td>optim nesterov, initializer normal</td><td>normal</td><td>nesterov</td>" in page
    assert "<td>data.limit</td><td>200</td>" in page


TINY = """
seeds = 2
[base]
model.name = "linear"
data.limit = 200
train.epochs = 2
"""
NAMES = """
[factors."$x_{$, 'a' \\"b\\" 数 =1+1"]
"_hidden" = {optim.learning_rate = 0.1}
"$\\\\frac{1}$ 😀" = {optim.learning_rate = 0.2}
"two\\nlines" = {optim.learning_rate = 0.3}
[factors."_second%"]
"" = {optim.name = "sgd"}
"{a}^b" = {optim.name = "nesterov"}
"""


@pytest.mark.sweep
def test_any_name_is_shown_as_it_is(tmp_path):
    (tmp_path / "names.toml").write_text(TINY + NAMES, encoding="utf-8")
    assert run("--preset", str(tmp_path / "names.toml"), out=tmp_path / "out") == 0
    factor, second = tomllib.loads(NAMES)["factors"]
    rows = rows_of(tmp_path / "out")
    assert [row[factor] for row in rows[::4]] == ["_hidden", r"$\frac{1}$ 😀", "two\nlines"]
    assert [row[second] for row in rows[:4:2]] == ["", "{a}^b"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert html.escape(factor, quote=False).replace("'", "&#39;").replace('"', "&#34;") in page


def test_a_picture_that_cannot_be_drawn_costs_its_place(finished, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError("no such colour")

    with monkeypatch.context() as patch:
        patch.setattr("convnet.report.figures.interaction", fail)
        assert run(*GRID, out=finished) == 1
    printed = capsys.readouterr()
    assert "Interaction: could not be made (RuntimeError: no such colour)" in printed.err
    assert "optim nesterov, initializer normal" in printed.out
    assert not (finished / "figures" / "interaction.png").exists()
    assert run(*GRID, out=finished) == 0
    assert (finished / "figures" / "interaction.png").exists()


def test_a_diverged_run_counts_as_guessing(tmp_path, capsys):
    """And its arm is compared, seeds and all."""
    args = [*BASE, "--model.name", "mlp", "--factor", "optim.learning_rate=0.02,1e38", "--seeds", "2"]
    assert run(*args, out=tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert [(row["status"], row["test_accuracy"] == "") for row in rows] == [("finished", False)] * 2 + [
        ("diverged", True)
    ] * 2
    assert {row["score"] for row in rows[2:]} == {"0.1"}
    assert all(int(row["diverged_at_step"]) >= 1 for row in rows[2:])
    good, bad = json.loads((tmp_path / "out" / "summary.json").read_text())["arms"]
    assert (good["diverged"], bad["diverged"], bad["test_accuracy"], bad["train_seconds"]) == (0, 2, 0.1, None)
    assert bad["effect"]["difference"][0] == pytest.approx(0.1 - good["test_accuracy"])
    capsys.readouterr()
    assert run(*args, out=tmp_path / "out") == 0  # divergence is a result: it is not tried again
    assert "0 of 4 cells to do" in capsys.readouterr().err


def test_traced_arms_share_a_program(tmp_path, monkeypatch):
    built, real = [], train.lower
    monkeypatch.setattr(train, "lower", lambda *args, **how: built.append(args[2].shape) or real(*args, **how))
    factors = ["--factor", "optim.learning_rate=0.01,0.02", "--factor", "optim.momentum=0,0.9"]
    assert run(*BASE, *factors, "--seeds", "2", "--traced", "--replicates", "vmapped", out=tmp_path / "out") == 0
    assert built == [(8,)]  # root keys
    assert {row["replicates"] for row in rows_of(tmp_path / "out")} == {"8"}


# --- what it says of intervals ----------------------------------------------------------------------------------------

SAME = """
[factors.f]
"whole" = {optim.name = "sgd"}
"cropped to all" = {data.crop = 8, optim.name = "sgd"}
"other" = {optim.learning_rate = 0.002, optim.name = "sgd"}
"other, cropped to all" = {optim.learning_rate = 0.002, data.crop = 8, optim.name = "sgd"}
"""


@pytest.mark.sweep
def test_a_setting_without_effect_is_no_difference_and_no_test(tmp_path, capsys):
    """A crop of 8 pixels of images of 8: the same bits, by another program."""
    (tmp_path / "same.toml").write_text(TINY + SAME)
    assert run("--preset", str(tmp_path / "same.toml"), out=tmp_path / "out") == 0
    remarks = [f"{arm}: the same run as {other}, bit for bit: data.crop has no effect here"
               for arm, other in (("cropped to all", "whole"), ("other, cropped to all", "other"))]  # fmt: skip
    output = capsys.readouterr().out.splitlines()
    arms = {arm["arm"]: arm for arm in json.loads((tmp_path / "out" / "summary.json").read_text())["arms"]}
    page = html.unescape((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    for remark in remarks:
        assert remark in output
        assert remark in page
    for name, same in (("cropped to all", "whole"), ("other, cropped to all", "other")):
        assert (arms[name]["same_as"], arms[name]["effect"]) == (same, None)
        assert any(line.split("  ")[0] == name and line.endswith("same run") for line in output)
    assert arms["other"]["effect"]["p_holm"] == arms["other"]["effect"]["p"]  # the only test there is


SGD_ZEROS, SGD_NORMAL, NESTEROV_ZEROS, NESTEROV_NORMAL = (
    f"optim {optimizer}, initializer {start}" for optimizer in ("sgd", "nesterov") for start in ("zeros", "normal")
)


@pytest.fixture
def plan_and_cells(finished):
    plan, arms = ablate.plan_of(parse_command(ablate.Ablate, GRID, defaults=ablate.defaults))
    cells = [read(cell) for cell in cells_of(arms, range(3), finished)]
    assert all(cells)
    return ablate.describe(plan, arms), cells


def test_the_same_runs_are_no_difference_and_no_test(plan_and_cells, tmp_path):
    """As above, of cells that were not trained: another arm has the bits of the base's."""
    plan, cells = plan_and_cells
    bits = {d.cell.seed: {name: d.facts[name] for name in BITS} for d in cells if d.cell.arm.name == SGD_ZEROS}
    same = [replace(d, facts=d.facts | bits[d.cell.seed]) if d.cell.arm.name == NESTEROV_ZEROS else d for d in cells]
    text, _ = write_ablation(tmp_path, plan, same)
    remark = f"{NESTEROV_ZEROS}: the same run as {SGD_ZEROS}, bit for bit: optim.name has no effect here"
    assert remark in text.splitlines()
    assert remark in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    arms = json.loads((tmp_path / "summary.json").read_text())["arms"]
    assert {arm["arm"]: arm["same_as"] for arm in arms if arm["same_as"]} == {NESTEROV_ZEROS: SGD_ZEROS}
    assert {arm["arm"] for arm in arms if arm["effect"] is None} == {SGD_ZEROS, NESTEROV_ZEROS}
    smaller, larger = sorted(arm["effect"]["p"] for arm in arms if arm["effect"])
    assert {arm["effect"]["p_holm"] for arm in arms if arm["effect"]} == {min(1, 2 * smaller), max(larger, 2 * smaller)}


BITS = ("parameter_hash", "test_loss", "test_hits", "test_accuracy")


def test_the_same_program_is_the_same_run_whatever_its_rounding(plan_and_cells):
    """On accelerators the same program may give other bits; another number of epochs makes it another run."""
    _, cells = plan_and_cells
    base = next(d for d in cells if d.facts["programs"])
    other = replace(base, facts=base.facts | {"parameter_hash": "0", "test_loss": 0.5})
    assert base.fingerprints & other.fingerprints
    for change in ({"programs": {"epoch": "0"}}, {"data": {"digest": "0"}}, {"replicates": 7}, {"traced": ["x"]}):
        assert not base.fingerprints & replace(other, facts=other.facts | change).fingerprints
    config = replace(base.cell.arm.config, train=replace(base.cell.arm.config.train, epochs=3))
    longer = replace(other, cell=replace(other.cell, arm=replace(other.cell.arm, config=config)))
    assert not base.fingerprints & longer.fingerprints
    assert not base.fingerprints & replace(base, cell=replace(base.cell, seed=9)).fingerprints


def test_a_missing_interval_has_its_reason(plan_and_cells, tmp_path):
    """Of arms that shards have not finished: one without a seed of the base's, one with one, one with two of three."""
    plan, cells = plan_and_cells
    kept = {SGD_ZEROS: (0, 1), SGD_NORMAL: (2,), NESTEROV_ZEROS: (1,), NESTEROV_NORMAL: (0, 1, 2)}
    text, _ = write_ablation(tmp_path, plan, [d for d in cells if d.cell.seed in kept[d.cell.arm.name]])
    remarks = [
        f"{SGD_NORMAL}, {NESTEROV_ZEROS}: one run has no interval: two seeds or more are needed",
        f"{SGD_NORMAL}: not compared, for it has no seed in common with {SGD_ZEROS}",
        f"{NESTEROV_ZEROS}: compared over the 1 of 2 seeds that {SGD_ZEROS} has, too",
        f"{NESTEROV_ZEROS}: one pair has no interval and no p: two seeds or more are needed",
        f"{NESTEROV_NORMAL}: compared over the 2 of 3 seeds that {SGD_ZEROS} has, too",
        "5 of 12 cells are not finished",
    ]
    assert [line for line in text.splitlines() if ": " in line or "cells" in line] == remarks
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(html.escape(remark) in page for remark in remarks if "cells" not in remark)


def test_the_page_says_what_its_intervals_cover(finished):
    assert COVERAGE in html.unescape((finished / "report.html").read_text(encoding="utf-8"))


def without_counts(done, *names):
    facts = {name: value for name, value in done.facts.items() if name not in ("test_hits", "test_images", *names)}
    return replace(done, facts=facts | {"test_accuracy": float(np.float32(done.facts["test_accuracy"]))})


def test_hits_of_cells_that_hold_a_mean_alone_are_counted(plan_and_cells, finished):
    """As older versions wrote them, in float32."""
    plan, cells = plan_and_cells
    older = analyse(plan, [without_counts(done) for done in cells])
    assert [r.said for r in older] == [r.said for r in analyse(plan, cells)]
    with pytest.raises(ValueError, match=r"^cell \w+ tells of no test_hits, nor of how many test images there were: "):
        analyse(plan, [without_counts(done, "data") for done in cells])

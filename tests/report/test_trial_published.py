"""Every number of a trial stands where its heading says: by hand is by hand, a maximum no median."""

import numpy as np
import pytest

from convnet.report.backprop_page import Outcome, Run, gradients_table, results_table, trial_page, write_trial
from tests.report.drawn import legend_colours, lines, panel_of
from tests.report.handmade import CARD, WHERE, picture_of, sections_of

SHAPES = {"dense/kernel": (4, 3), "dense/bias": (3,), "images": (8, 2, 2, 1)}


def run(kernel, bias, images, by_hand, jax, seconds):
    """Losses [epochs, steps] and, per way, seconds per step [epochs]."""
    by_hand, jax = np.array(by_hand), np.array(jax)
    seconds = {way: np.array(values) for way, values in zip(("by hand", "jax.grad"), seconds, strict=True)}
    differences = {"dense/kernel": kernel, "dense/bias": bias, "images": images}
    return Run(differences, {"by hand": by_hand, "jax.grad": jax}, seconds)


@pytest.fixture
def outcome():
    exact = [[4.0, 2.0], [1.0, 1.0]]
    single = [
        run(1e-7, 5e-7, 2e-7, exact, [[4.0, 2.25], [1.0, 1.0]], ([0.001, 0.002], [0.010, 0.030])),
        run(4e-7, 2e-7, 3e-7, [[6.0, 4.0], [3.0, 2.0]], [[6.0, 4.0], [3.5, 2.0]], ([0.009, 0.003], [0.050, 0.020])),
    ]
    double = [run(1e-15, 2e-15, 7e-15, exact, [[4.0, 2.0], [1.0, 1.0 + 2e-12]], ([9.0, 9.0], [9.0, 9.0]))]
    return Outcome("mlp", SHAPES, {"float64": double * 2, "float32": single})


def test_one_line_per_model(outcome):
    """The worst difference of any parameter; losses by hand, averaged over steps and seeds; medians of 1, 2, 9 and 3,
    and of 10, 30, 50 and 20 ms."""
    assert results_table([outcome]) == [
        ["model", "parameters", "Δ gradient, float64", "Δ gradient, float32", "loss, first → last epoch",
         "Δ loss, float64", "Δ loss, float32", "ms / step, by hand", "ms / step, jax.grad"],
        ["mlp", "15", "7.0e-15", "5.0e-07", "4.000 → 1.750", "2.0e-12", "5.0e-01", "2.5", "25"],
    ]  # fmt: skip


def test_one_line_per_parameter_with_the_worst_of_the_seeds(outcome):
    assert gradients_table([outcome]) == [
        ["model", "gradient in", "shape", "float64", "float32"],
        ["mlp", "dense/kernel", "4 × 3", "1.0e-15", "4.0e-07"],
        ["mlp", "dense/bias", "3", "2.0e-15", "5.0e-07"],
        ["mlp", "images", "8 × 2 × 2 × 1", "7.0e-15", "3.0e-07"],
    ]


def test_the_summary(outcome):
    summary = outcome.summary()
    assert summary.pop("losses") == {"float64": pytest.approx(2e-12, rel=1e-3), "float32": 0.5}
    assert summary == {
        "model": "mlp",
        "seeds": 2,
        "gradients": {
            "float64": {"dense/kernel": 1e-15, "dense/bias": 2e-15, "images": 7e-15},
            "float32": {"dense/kernel": 4e-7, "dense/bias": 5e-7, "images": 3e-7},
        },
        "loss": {"first epoch": 4.0, "last epoch": 1.75},
        "seconds_per_step": {"by hand": 0.0025, "jax.grad": pytest.approx(0.025)},
    }


def test_the_page(outcome, tmp_path, monkeypatch):
    page = trial_page([outcome], {"compared": "this and that"})
    assert page.facts == {"compared": "this and that"}
    sections = sections_of(page)
    assert sections["Results"].table == results_table([outcome])
    assert sections["Gradients"].table == gradients_table([outcome])
    monkeypatch.setattr("convnet.report.backprop_page.environment", lambda: WHERE)
    assert write_trial(tmp_path / "report.html", [outcome], {"compared": "this and that"}) == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for fact in ("this and that", *CARD.values()):
        assert f"<dd>{fact}</dd>" in html
    assert [path.name for path in (tmp_path / "figures").glob("*.png")] == ["training-curves.png"]


def test_the_curves(outcome):
    picture = picture_of(sections_of(trial_page([outcome], {}))["Training curves"])
    panel = panel_of(picture.figure, "mlp: loss")
    colours = legend_colours(*picture.figure.legends)
    assert set(colours) == {"by hand", "jax.grad", "difference, float64", "difference, float32"}
    found = {name: [y for _, y in lines(panel, colour)] for name, colour in colours.items()}
    assert found["by hand"] == [[3.0, 1.0], [5.0, 2.5], [4.0, 1.75]]
    assert found["jax.grad"] == [[3.125, 1.0], [5.0, 2.75], [4.0625, 1.875]]
    np.testing.assert_allclose(found["difference, float64"][0], [1e-18, 2e-12], rtol=1e-3)
    assert found["difference, float32"][:2] == [[0.25, 1e-18], [1e-18, 0.5]]
    assert panel.get_yscale() == "log"
    assert "Thin lines are seeds" in picture.caption

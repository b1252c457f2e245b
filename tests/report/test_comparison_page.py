"""The page of a comparison, for images and classes of any kind. Nothing is trained: the weights are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from convnet.ablation import COVERAGE
from convnet.ablation.family import Family
from convnet.architectures import CNN, Linear
from convnet.config import RunConfig
from convnet.data import Dataset, Split
from convnet.report import comparison_table, write_report
from convnet.report.comparison_page import comparison_page
from convnet.run import RunResult
from convnet.train import EpochRecord

CONFIGS = {"linear": Linear(), "cnn": CNN(widths=(4,), head_width=0)}


def dataset(shape=(8, 8, 1), classes=3, names=None, present=None, name="own"):
    """present: the classes that the training and test images have; None: all."""
    rng = np.random.default_rng(0)
    labels = rng.choice(present or classes, size=2 * classes + 20)
    split = Split(rng.integers(0, 256, (len(labels), *shape)).astype(np.uint8), labels)
    return Dataset(name, split, split, split, tuple(names or map(str, range(classes))))


def family(name, data, seeds=2, epochs=3, **changes):
    config = RunConfig(model=CONFIGS[name])
    rng = np.random.default_rng(1)
    layer, shape = {
        "linear": ("logits", (np.prod(data.image_shape), data.num_classes)),
        "cnn": ("conv1", (3, 3, data.image_shape[-1], 4)),
    }[name]

    def result(seed):
        variables = {"params": {layer: {"kernel": rng.normal(size=shape)}}}
        records = tuple(
            EpochRecord(e, 10 * e, 1 / e, 0.5, 1.0, 2 / e, 1 - 1 / (e + 1), 0.1) for e in range(1, epochs + 1)
        )
        logits = rng.normal(size=(len(data.test), data.num_classes))
        hits = int(rng.integers(len(logits) // 2, len(logits)))
        return RunResult(replace(config, seed=seed), records, variables, epochs, 0.5, hits, logits, 1.0)

    runs = tuple(Family.Run(seed, result(seed)) for seed in range(seeds))
    facts = dict(runs=runs, parameters=10, flops_per_image=20.0, compile_seconds=1.0, target=0.9)
    return Family(name=name, config=config, **facts | changes)


def page_of(tmp_path, data, *families):
    assert write_report(tmp_path / "report.html", *comparison_page(list(families), data)) == []
    return (tmp_path / "report.html").read_text(encoding="utf-8")


DATA = {
    "5 × 7": dict(shape=(5, 7, 1)),
    "two channels": dict(shape=(8, 8, 2)),
    "three channels": dict(shape=(7, 5, 3)),
    "four channels": dict(shape=(8, 8, 4)),
    "one pixel": dict(shape=(1, 1, 1)),
    "two classes": dict(classes=2, names=("no", "yes")),
    "a class without images": dict(classes=4, present=[0, 3]),
    "long names": dict(names=("Strix aluco, the tawny owl of Europe", "b" * 200, "$x_{$ & <b>")),
    "names of other scripts": dict(names=("数字", "عدد", "_emoji 😀\n"), name="数"),
    "the same name twice": dict(names=("a", "a", "b")),
    "several of these": dict(shape=(5, 7, 4), classes=4, present=[0, 3], names=("a", "a", "b", "c")),
}
ALWAYS = ("5 × 7", "several of these")
"""In every run; the others in the sweep."""


@pytest.mark.parametrize(
    "settings",
    [pytest.param(case, id=name, marks=() if name in ALWAYS else pytest.mark.sweep) for name, case in DATA.items()],
)
def test_any_images_and_classes_can_be_shown(settings, tmp_path):
    data = dataset(**settings)
    chosen = [family("linear", data)]
    if min(data.image_shape[:2]) > 1:
        chosen.append(family("cnn", data))
    page = page_of(tmp_path, data, *chosen)
    height, width, channels = data.image_shape
    assert f"{height} × {width} × {channels}" in page
    for heading in ("Learning curves", "Confusion matrices", "Templates of the linear model", "Most confident errors"):
        assert f"<h2>{heading}</h2>" in page


@pytest.mark.usefixtures("unseen_pictures")
def test_the_page_speaks_of_seeds_where_there_are_some(tmp_path):
    data = dataset()
    page = page_of(tmp_path, data, family("linear", data), family("cnn", data))
    for words in (
        "Linear and CNN on own",
        "mean over seeds",
        "2 seeds; ",
        "Thin lines are seeds",
        "the first seed got",
    ):
        assert words in page


@pytest.mark.usefixtures("unseen_pictures")
def test_the_page_of_one_seed_each_has_no_means(tmp_path):
    data = dataset()
    page = page_of(tmp_path, data, family("linear", data, seeds=1), family("cnn", data, seeds=1))
    for words in ("mean over seeds", "95 % interval", "Thin lines", " seeds"):
        assert words not in page
    assert "Test accuracy: of one run each" in page


@pytest.mark.usefixtures("unseen_pictures")
def test_the_card_and_the_table_tell_how_it_was_trained(tmp_path):
    data = dataset()
    page = page_of(tmp_path, data, family("linear", data), family("cnn", data))
    assert "20 epochs of batch 64, nesterov 0.05" in page
    assert "<td>model.widths</td><td></td><td>4</td>" in page
    assert "<td>optim.learning_rate</td><td>0.05</td>" in page


def test_families_that_all_diverged_are_a_page_too(tmp_path):
    data = dataset()
    lost = family("linear", data, runs=(Family.Run(0, None, "not finite at step 3"),))
    assert "none (1 of 1 diverged)" in page_of(tmp_path, data, lost)
    assert lost.remarks == ("every run diverged: there is no accuracy",)


@pytest.mark.usefixtures("unseen_pictures")
def test_the_page_says_what_its_intervals_cover_and_why_one_is_missing(tmp_path):
    data = dataset()
    lost = family("linear", data, runs=(Family.Run(0, None, "not finite at step 3"), Family.Run(1, None, "at step 4")))
    page = page_of(tmp_path, data, lost, family("cnn", data))
    assert COVERAGE.replace("'", "&#39;") in page
    assert "linear: every run diverged: there is no accuracy" in page


def test_an_interval_stays_within_what_an_accuracy_can_be():
    """Student's t of two seeds reaches 13 standard errors out."""
    data = dataset()
    found = family("linear", data)

    def shown(*hits):
        """Of 1,000 images each."""
        logits = np.zeros((1000, 3))
        runs = [replace(run, result=replace(run.result, test_hits=n, test_logits=logits))
                for run, n in zip(found.runs, hits, strict=False)]  # fmt: skip
        told = replace(found, runs=tuple(runs))
        return comparison_table([told.summary()])[1][1], told.remarks

    assert shown(800, 960) == ("88.00% (0.00 … 100.00)", ())
    assert shown(950, 951) == ("95.05% (94.41 … 95.69)", ())
    assert shown(950, 950) == ("95.00% (—)", ("no interval, for all 2 runs have the same score",))
    assert shown(950) == ("95.00%", ("one run has no interval: two seeds or more are needed",))


def test_ten_errors_are_shown():
    from convnet.report import comparison_page

    assert comparison_page.ERRORS_SHOWN == 10

"""What the runs of one family of models come to, on figures that were made up."""

import math
from fractions import Fraction

import numpy as np
import pytest

from convnet.ablation import mean_interval
from convnet.ablation.family import Family
from convnet.architectures import Linear
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.run import RunResult
from convnet.settings import content_hash, to_dict
from convnet.train import EpochRecord

CONFIG = RunConfig(DataConfig("digits"), Linear(), train=TrainConfig(epochs=3))
IMAGES = 8


def result(seed, hits, accuracies, seconds, *, best):
    """A run of three epochs with these validation accuracies, each of so many seconds."""
    records = tuple(EpochRecord(n, n, 0.0, 0.0, 0.0, 0.0, a, seconds) for n, a in enumerate(accuracies, 1))
    config = RunConfig(CONFIG.data, CONFIG.model, train=CONFIG.train, seed=seed)
    return RunResult(config, records, {}, best, 0.25, hits, np.zeros((IMAGES, 10)), 9.0)


RESULTS = {
    0: result(0, 4, (0.2, 0.9, 0.8), 1.0, best=2),
    2: result(2, 6, (0.9, 0.1, 0.1), 3.0, best=1),
    3: result(3, 5, (0.1, 0.3, 0.4), 8.0, best=3),
}


def family(*runs, target=0.5):
    return Family("linear", CONFIG, runs, parameters=650, flops_per_image=1300.0, compile_seconds=4.0, target=target)


RUNS = (
    Family.Run(0, RESULTS[0]),
    Family.Run(1, None, "the loss is not finite"),
    Family.Run(2, RESULTS[2]),
    Family.Run(3, RESULTS[3]),
)


def test_a_run_has_no_reason_unless_it_diverged():
    assert Family.Run(0, RESULTS[0]).reason == ""


def test_what_a_family_comes_to():
    summary = family(*RUNS).summary()
    interval = mean_interval([Fraction(4, 8), Fraction(6, 8), Fraction(5, 8)])
    assert summary.pop("interval95") == pytest.approx([interval.low, interval.high])
    assert summary == {
        "family": "linear",
        "config": to_dict(CONFIG),
        "seeds": 4,
        "diverged": 1,
        "test_accuracy": 0.625,
        "remarks": [],
        "parameters": 650,
        "flops_per_image": 1300.0,
        "seconds_per_epoch": 3.0,
        "compile_seconds": 4.0,
        "target": 0.5,
        "seconds_to_target": 2.5,  # of 2 seconds and 3: the third run never got there
        "reached_target": 2,
    }


def test_one_run_has_an_accuracy_and_no_interval():
    one = family(RUNS[0])
    assert one.test_accuracy.mean == 0.5
    assert math.isnan(one.test_accuracy.low)
    summary = one.summary()
    assert (summary["interval95"], summary["reached_target"]) == ([None, None], 1)
    assert summary["remarks"] == ["one run has no interval: two seeds or more are needed"]


def test_where_all_diverged_there_is_no_accuracy():
    none = family(RUNS[1])
    assert none.results == []
    assert none.test_accuracy is None
    summary = none.summary()
    assert (summary["seeds"], summary["diverged"], summary["reached_target"]) == (1, 1, 0)
    for name in ("test_accuracy", "interval95", "seconds_per_epoch", "seconds_to_target"):
        assert summary[name] is None, name
    assert summary["remarks"] == ["every run diverged: there is no accuracy"]


def test_without_a_target_no_run_is_timed():
    summary = family(*RUNS, target=None).summary()
    assert (summary["target"], summary["seconds_to_target"], summary["reached_target"]) == (None, None, 0)


def test_a_row_per_seed():
    finished, diverged = family(RUNS[0], RUNS[1]).rows()
    common = {
        "family": "linear",
        "data": "digits",
        "epochs": 3,
        "parameters": 650,
        "flops_per_image": 1300.0,
        "compile_seconds": 4.0,
        "target": 0.5,
        "gradient": "hand",
    }
    assert finished == common | {
        "seed": 0,
        "status": "finished",
        "test_hits": 4,
        "test_images": 8,
        "test_accuracy": 0.5,
        "test_loss": 0.25,
        "validation_accuracy": 0.9,
        "best_epoch": 2,
        "seconds_per_epoch": 1.0,
        "seconds_to_target": 2.0,
        "run": content_hash(RESULTS[0].config),
    }
    empty = dict.fromkeys(finished.keys() - common.keys())
    assert diverged == common | empty | {"seed": 1, "status": "diverged", "run": ""}

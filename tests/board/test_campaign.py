"""What a board looks at is audited as mathematics: right, so that an alarm is the referee's fault."""

import numpy as np
import pytest
from mpmath import mp

from convnet.board import campaign
from convnet.board.campaign import outcomes, points
from convnet.board.case import at, case
from tests.gradcheck.test_campaign import halved

SINE = case("jax.numpy.sin", mp.sin, (*at("generic", 0.5, -2.0), *at("zero", 0.0)))


def test_every_point_is_audited_once():
    found = list(outcomes("here", SINE, range(5), first="standard", done={(1.0, 1)}))
    assert [(o.draw, o.level, o.alarms, o.compared) for o in found] == [
        (0, "standard", (), True), (2, "quick", (), True)]  # fmt: skip
    assert {(o.origin, o.function, o.scale) for o in found} == {("here", "jax.numpy.sin(x), in x", 1.0)}


@pytest.mark.parametrize(
    "rough",
    [
        case("jax.numpy.abs", abs, at("zero", 0.0)),
        case("jax.nn.relu", lambda x: max(x, mp.mpf(0)) ** 2, at("zero", 0.0)),
        case("jax.numpy.log", mp.log, at("end", 0.0, float("inf"))),
    ],
    ids=["no gradient", "no second derivative", "no value"],
)
def test_where_no_derivative_exists_nothing_is_asked(rough):
    found = list(outcomes("here", rough, range(len(rough.points)), first="quick"))
    assert len(found) == len(rough.points)
    assert {(o.alarms, o.compared) for o in found} == {((), False)}


def test_an_alarm_is_told(monkeypatch):
    """Here of a function whose rule has half of the gradient."""
    monkeypatch.setattr(campaign, "mathematics", lambda case, x: halved(x))
    (found,) = outcomes("here", SINE, range(1), first="quick")
    assert found.alarms
    assert not found.compared


def test_large_points_are_left_out():
    square = lambda x: x * x  # noqa: E731
    large = case("jax.numpy.square", square, at("generic", np.ones(5), np.ones(4)), elementwise=False)
    (point,) = points(large)
    assert point.args[0].size == 4

"""The strategies: every draw is a valid call, the corners really occur, and failures shrink to small calls."""

import subprocess
import sys
from collections import Counter
from dataclasses import fields
from functools import cache
from math import prod
from random import Random

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given

from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import HAND, OpSet
from tests.gradcheck.corners import corners

OPS = [field.name for field in fields(OpSet)]
WINDOWED = ["conv2d", "conv_transpose2d", "convolve2d", "max_pool", "avg_pool", "sum_pool"]


EXPECTED = {
    "conv": ["remainder", "asymmetric", "crops", "gcd", "dilation differs", "kernel larger than the image", "gaps",
             "overlap", "SAME", "SAME, even kernel", "groups 1", "groups between", "groups C", "bias", "no bias"],
    "pool": ["remainder", "asymmetric", "crops", "kernel larger than the image", "gaps", "overlap", "SAME",
             "SAME, even kernel"],
}  # fmt: skip

SETTINGS = {  # op: (how a call is told, all the answers that must occur)
    "avg_pool": (lambda args, s: s["count_include_pad"], {True, False}),
    "max_pool": (lambda args, s: s["stride"] is None, {True, False}),
    "gelu": (lambda args, s: s["approximate"], {True, False}),
    "dropout": (lambda args, s: s["rate"], {0.0, 0.1, 0.5, 0.9, 1.0}),
    "softmax_cross_entropy": (lambda args, s: s["label_smoothing"], {0.0, 0.1, 0.9}),
    "group_norm": (lambda args, s: (s["groups"] > 1) + (s["groups"] == args[0].shape[-1]), {0, 1, 2}),
    "local_response_norm": (lambda args, s: (s["size"] % 2, s["size"] > args[0].shape[-1]),
                            {(0, True), (0, False), (1, True), (1, False)}),
    "logsumexp": (lambda args, s: "where" in s, {True, False}),
    "log_softmax": (lambda args, s: s["axis"], {-1, 0, 1, 2}),
    "total_variation": (lambda args, s: (s["beta"], args[0].shape[1] == 1),
                        {(beta, flat) for beta in (1.0, 1.5, 2.0, 3.0) for flat in (True, False)}),
    "weston_watkins_hinge": (lambda args, s: args[0].shape[1] == 2, {True, False}),
}  # fmt: skip


@cache
def drawn(op, count):
    """`count` calls; that hypothesis filters and rejects nothing is part of its health check."""
    calls = []

    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(EVIDENCE[op].calls())
    def collect(call):
        calls.append(call)

    collect()
    return calls


def smallest(op, condition):
    budget = hypothesis.settings(max_examples=100, database=None, deadline=None)
    return hypothesis.find(EVIDENCE[op].calls(), lambda call: condition(*call), settings=budget, random=Random(0))


DRAWN_OTHERWISE = {  # no two of them by the same function
    *(
        "conv2d",
        "conv_transpose2d",
        "dense",
        "avg_pool",
        "global_avg_pool",
        "relu",
        "dropout",
        "batch_norm",
        "group_norm",
    ),
    *("local_response_norm", "logsumexp", "softmax_cross_entropy", "crammer_singer_hinge", "squared_error"),
    *("total_variation", "gram_matrix"),
}


def test_every_op_has_a_strategy():
    assert set(EVIDENCE) == set(OPS)


@pytest.mark.parametrize(
    "op", [pytest.param(op, marks=() if op in DRAWN_OTHERWISE else pytest.mark.sweep) for op in OPS]
)
def test_draws_are_valid_calls(op, x64):
    """The op accepts them, and has the shape and finite values that its definition says."""
    calls = drawn(op, 300) if op in {*WINDOWED, *SETTINGS} else drawn(op, 20)
    for args, settings in Random(0).sample(calls, 20):
        y = jax.eval_shape(lambda args, settings=settings: getattr(HAND, op)(*args, **settings), args)
        expected = EVIDENCE[op].oracle.value(*args, **settings)
        assert jax.tree.map(lambda leaf: leaf.shape, y) == jax.tree.map(np.shape, expected)
        assert all(leaf.size and np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
        assert max(np.size(arg) for arg in args if arg is not None) <= 1000


@pytest.mark.parametrize("op", WINDOWED)
def test_corners_occur(op):
    calls = drawn(op, 300)
    counts = Counter(name for args, settings in calls for name in corners(op, args, settings))
    expected = EXPECTED["conv" if "conv" in op else "pool"] + ["output padding"] * (op == "conv_transpose2d")
    rare = {name: counts[name] for name in expected if counts[name] < 15}
    assert not rare, f"{rare} of {len(calls)}, beside {counts}"


@pytest.mark.parametrize("op", SETTINGS)
def test_settings_occur(op):
    tell, expected = SETTINGS[op]
    counts = Counter(tell(args, settings) for args, settings in drawn(op, 300))
    assert {answer for answer in expected if counts[answer] >= 5} == expected, counts


@pytest.mark.parametrize(
    "op",
    [
        pytest.param("conv2d", marks=pytest.mark.sweep),  # of which the test below shows more, in less time
        *("max_pool", "relu", "group_norm", "logsumexp", "softmax_cross_entropy"),
    ],
)
def test_draws_shrink_to_the_smallest_call(op):
    args, _ = smallest(op, lambda args, settings: True)
    assert max(np.size(arg) for arg in args if arg is not None) <= 8


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d", "max_pool"])
def test_a_corner_shrinks_to_little_else(op):
    """A defect that only the remainder shows is reported at a handful of pixels, and at stride (2, 1) or (1, 2)."""
    args, settings = smallest(op, lambda args, settings: "remainder" in corners(op, args, settings))
    assert prod(args[0].shape) <= 4
    assert sorted(settings["stride"] or (1, 1)) == [1, 2]
    assert settings.get("groups", 1) == 1
    assert set(np.ravel(settings.get("dilation", 1))) == {1}


def test_hypothesis_is_not_imported_with_the_evidence():
    asked = "import sys, convnet.gradcheck.evidence; print('hypothesis' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"

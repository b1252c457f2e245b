"""The cases: complete, small, reproducible, free of accidental ties, and turning the corners they claim to turn."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence import CONVENTIONS, EVIDENCE, Mask
from convnet.gradcheck.evidence import case as draws
from convnet.ops import HAND, OpSet
from tests.gradcheck.corners import corners

OPS = [field.name for field in fields(OpSet)]
CASES = {op: evidence.cases for op, evidence in EVIDENCE.items()}
EVERY = [case for op in OPS for case in CASES[op]]
DECLARED = [convention for conventions in CONVENTIONS.values() for convention in conventions]
SEEDS = range(20)


def named(cases):
    return {"argvalues": cases, "ids": [f"{case.op}: {case.name}" for case in cases]}


def test_every_op_has_cases():
    assert set(CASES) == set(OPS)
    assert set(CONVENTIONS) == set(OPS)
    for table in (CASES, CONVENTIONS):
        for op, entries in table.items():
            assert {entry.op for entry in entries} <= {op}
            assert len({entry.name for entry in entries}) == len(entries)
            assert all(entry.name for entry in entries)
    assert all(len(cases) >= 3 for cases in CASES.values())


@pytest.mark.parametrize("case", **named(EVERY))
def test_a_case_is_a_valid_call(case, x64):
    args = case.draw(np.random.default_rng(3))
    for arg in args:
        assert arg is None or isinstance(arg, np.ndarray)
        assert arg is None or arg.dtype in (np.float64, np.int32, np.bool_)
        assert arg is None or arg.size <= 400
    hash(tuple(case.settings.items()))
    y = jax.eval_shape(lambda args: getattr(HAND, case.op)(*args, **case.settings), args)
    value = EVIDENCE[case.op].oracle.value(*args, **case.settings)
    assert jax.tree.map(lambda leaf: leaf.shape, y) == jax.tree.map(np.shape, value)
    assert all(leaf.size and np.isfinite(leaf).all() for leaf in jax.tree.leaves(value))


def test_the_first_cases_are_small():
    for cases in CASES.values():
        assert all(arg is None or arg.size <= 250 for arg in cases[0].draw(np.random.default_rng(0)))


@pytest.mark.parametrize("case", **named([cases[0] for cases in CASES.values()]))
def test_draws_come_from_the_generator_alone(case):
    one, same, other = (case.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


def test_channels_differ_in_mean_and_scale(rng):
    """Or a rule that mixed them up would be wrong by little."""
    x = draws.gaussian(rng, (4000, 4))
    np.testing.assert_allclose(x.mean(0), [0.3, -0.3, 0.3, -0.3], atol=0.1)
    np.testing.assert_allclose(x.std(0), [0.6, 1.0, 1.4, 1.8], rtol=0.1)


@pytest.mark.parametrize("case", **named([case for op in ("relu", "leaky_relu") for case in CASES[op]]))
def test_activations_stay_off_their_kink(case):
    values = [case.draw(np.random.default_rng(seed))[0] for seed in SEEDS]
    assert min(np.abs(x).min() for x in values) >= 0.05
    assert {*np.sign(np.concatenate([x.ravel() for x in values]))} == {-1, 1}


@pytest.mark.parametrize("case", **named(CASES["max_pool"]))
def test_no_two_values_to_pool_are_near(case):
    for seed in SEEDS:
        x = np.sort(case.draw(np.random.default_rng(seed))[0], axis=None)
        assert np.diff(x).min() >= 2.4 / x.size
        assert -2.5 < x[0] < 0 < x[-1] < 2.5


@pytest.mark.parametrize("case", **named([*CASES["weston_watkins_hinge"], *CASES["crammer_singer_hinge"]]))
def test_hinges_stay_off_their_margin_and_have_one_strongest_rival(case):
    violated = []
    for seed in SEEDS:
        z, y = case.draw(np.random.default_rng(seed))
        margin = case.settings["margin"]
        slack = margin + z - z[np.arange(len(z)), y][:, None]
        rivals = np.sort(np.where(np.arange(z.shape[1]) == y[:, None], -np.inf, slack), axis=1)[:, 1:]
        assert np.abs(rivals).min() >= 0.05 * margin
        if z.shape[1] > 2:
            assert (rivals[:, -1] - rivals[:, -2]).min() >= 0.2 * margin
        violated.extend(rivals.ravel() > 0)
    assert 0.2 < np.mean(violated) < 0.95


def test_labels_repeat_and_differ():
    for seed in SEEDS:
        labels = CASES["softmax_cross_entropy"][0].draw(np.random.default_rng(seed))[1]
        assert 1 < len(set(labels.tolist())) < len(labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_masks_keep_some_and_drop_some(axis):
    for seed in SEEDS:
        mask = draws.mask(np.random.default_rng(seed), (4, 3, 2), axis)
        assert mask.any(axis).all()
        assert not mask.all(axis).any()


def test_a_mask_is_a_setting():
    one, same, other = Mask([[True, False]]), Mask([[True, False]]), Mask([[True, True]])
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != Mask([True, False])
    assert {one: "found"}[same] == "found"
    assert jnp.where(one, 1.0, 0.0).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="read-only"):
        one[0] = False


# --- corners ----------------------------------------------------------------------------------------------------------

CONVOLUTIONS = ["remainder", "asymmetric", "gcd", "dilation differs", "groups between", "groups C", "groups 1", "bias",
                "no bias", "SAME", "SAME, even kernel", "gaps", "crops"]  # fmt: skip
TURNED = {
    "conv2d": (["remainder", "asymmetric", "dilation differs", "groups between", "bias"],
               [*CONVOLUTIONS, "kernel larger than the image"]),
    "conv_transpose2d": (["remainder", "asymmetric", "dilation differs", "groups between", "bias", "output padding"],
                         CONVOLUTIONS),
    "convolve2d": (["remainder", "asymmetric", "dilation differs", "groups between", "bias"],
                   ["groups C", "no bias", "SAME, even kernel"]),
} | dict.fromkeys(["max_pool", "avg_pool", "sum_pool"], (
    ["remainder", "asymmetric", "overlap"],
    ["gaps", "SAME", "SAME, even kernel", "crops", "kernel larger than the image"],
))  # fmt: skip


@pytest.mark.parametrize("op", TURNED)
def test_corners_are_turned(op):
    """Some of them all by the first case."""
    first, all_of_them = TURNED[op]
    turned = [corners(op, case.draw(np.random.default_rng(0)), case.settings) for case in CASES[op]]
    assert set(first) <= turned[0]
    assert set(all_of_them) <= set().union(*turned)


def test_batches_of_one_and_of_three():
    assert {1, 2, 3} <= {case.draw(np.random.default_rng(0))[0].shape[0] for case in CASES["conv2d"]}


LINEAR = ["conv2d", "conv_transpose2d", "convolve2d", "dense", "sum_pool", "relu"]


@pytest.mark.parametrize("case", **named([case for op in LINEAR for case in CASES[op]]))
def test_terms_bound_what_is_summed(case):
    """Of ones, a gradient is the number of its terms."""
    args = [None if arg is None else np.ones(arg.shape) for arg in case.draw(np.random.default_rng(0))]
    gradients = EVIDENCE[case.op].oracle.gradient(1.0, *args, **case.settings)
    most = max(gradient.max() for gradient in gradients if gradient is not None)
    assert most <= case.terms <= 10 * most


# --- conventions ------------------------------------------------------------------------------------------------------


def of_ops(convention):
    """The gradients that the hand-derived rule gives for a cotangent of ones."""
    floats = [arg.dtype.kind == "f" for arg in convention.args]

    def f(*moving):
        moving = iter(moving)
        args = [next(moving) if is_float else arg for is_float, arg in zip(floats, convention.args, strict=True)]
        return getattr(HAND, convention.op)(*args, **convention.settings)

    def run(moving):
        value, pullback = jax.vjp(f, *moving)
        return pullback(jax.tree.map(jnp.ones_like, value))

    moving = [arg for is_float, arg in zip(floats, convention.args, strict=True) if is_float]
    gradients = iter(jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})(moving))
    return tuple(next(gradients) if is_float else None for is_float in floats)


def assert_declared(gradients, convention):
    for actual, declared in zip(gradients, convention.gradients, strict=True):
        assert (actual is None) == (declared is None)
        if declared is not None:
            assert declared.dtype == np.float64
            np.testing.assert_allclose(actual, declared, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("convention", **named(DECLARED))
def test_the_ops_keep_their_conventions(convention, x64):
    assert_declared(of_ops(convention), convention)


def is_within_reach(convention):
    """Oracles are definitions: they overflow far out, and total variation without ε is not analytic if flat."""
    return convention.op != "total_variation" and "far out" not in convention.name


@pytest.mark.parametrize("convention", **named([c for c in DECLARED if is_within_reach(c)]))
def test_the_oracles_keep_them_as_well(convention):
    value = EVIDENCE[convention.op].oracle.value(*convention.args, **convention.settings)
    assert_declared(EVIDENCE[convention.op].oracle.gradient(jax.tree.map(np.ones_like, value), *convention.args,
                                                    **convention.settings), convention)  # fmt: skip


def test_what_must_be_declared_is():
    """Kinks, ties, and points where a formula would divide 0 by 0."""
    assert {
        "relu", "leaky_relu", "max_pool", "weston_watkins_hinge", "crammer_singer_hinge", "total_variation", "dropout",
        "softplus", "logsumexp", "log_softmax", "batch_norm", "layer_norm", "group_norm",
    } <= {op for op, declared in CONVENTIONS.items() if declared}  # fmt: skip

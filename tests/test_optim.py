"""Optimisers against plain NumPy loops of their formulas, schedules at their landmarks."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import optim
from convnet.config import OptimConfig
from convnet.optim import OPTIMIZERS, build, schedule

STEPS = 6
RATE = 0.1


def problem(rng):
    """Parameters of a small network and a gradient per step: two kernels, of which one a convolution's, and a bias."""
    shapes = {"conv": (2, 2, 1, 3), "dense": (4, 3), "bias": (3,)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    grads = [{name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(STEPS)]
    return params, grads


def trajectory(config, params, grads, traced=None):
    """Parameters after each step, by the library. traced: numbers put into the optimiser's state."""
    optimizer = build(config, STEPS, tuple(traced or ()))
    params = jax.tree.map(jnp.asarray, params)
    state, history = optim.with_numbers(optimizer.init(params), traced or {}), []
    update = jax.jit(optimizer.update, compiler_options={"xla_backend_optimization_level": 0})  # quick to compile
    for g in grads:
        updates, state = update(jax.tree.map(jnp.asarray, g), state, params)
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history


# --- the rules, as written in textbooks -------------------------------------------------------------------------------


def sgd(g, m, t, mu):
    return g, m


def momentum(g, m, t, mu):
    v = mu * m.get("v", 0) + g
    return v, {"v": v}


def nesterov(g, m, t, mu):
    v = mu * m.get("v", 0) + g
    return g + mu * v, {"v": v}


def adam(g, m, t, mu, b2=0.999, eps=1e-8):
    """Kingma & Ba, ICLR 2015, Algorithm 1."""
    first = mu * m.get("first", 0) + (1 - mu) * g
    second = b2 * m.get("second", 0) + (1 - b2) * g**2
    direction = (first / (1 - mu**t)) / (np.sqrt(second / (1 - b2**t)) + eps)
    return direction, {"first": first, "second": second}


def muon(g, m, t, mu, steps=5):
    """Of a kernel as a matrix of its outputs' weights; biases go by Nesterov's rule."""
    if g.ndim < 2:
        return nesterov(g, m, t, mu)
    v = mu * m.get("v", 0) + (1 - mu) * g
    u = mu * v / (1 - mu ** (t + 1)) + (1 - mu) * g / (1 - mu**t)
    return newton_schulz(u.reshape(-1, g.shape[-1]), steps).reshape(g.shape), {"v": v}


def newton_schulz(x, steps):
    """Every singular value σ of x / |x| becomes 3.4445 σ − 4.775 σ³ + 2.0315 σ⁵, so many times."""
    x = x / (np.sqrt((x**2).sum()) + 1e-8)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.775 * gram @ x + 2.0315 * gram @ gram @ x
    return x


RULES = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam, "adamw": adam, "muon": muon}


def reference(
    rule, params, grads, *, mu=0.9, rate=lambda t: RATE, rates=None, decay=0.0, decoupled=False, clip=None, rescale=()
):
    """The same trajectory in a loop. Only weights (rank ≥ 2) decay. rates: those of single parameters, by name.
    rescale: names of those that have the norm √(outputs) before they are updated, and so do not decay."""
    params, memory, history = dict(params), {name: {} for name in params}, []
    for t, g in enumerate(grads, start=1):
        norm = np.sqrt(sum((x**2).sum() for x in g.values()))
        g = {name: x * (clip / norm if clip is not None and norm > clip else 1) for name, x in g.items()}
        for name, w in params.items():
            shrink = decay * w if w.ndim >= 2 and name not in rescale else 0 * w
            direction, memory[name] = rule(g[name] + (0 if decoupled else shrink), memory[name], t, mu)
            length = w.shape[-1] ** 0.5 / np.sqrt((w**2).sum()) if name in rescale else 1
            own = (rates or {}).get(name, rate)
            params[name] = length * w - own(t - 1) * (direction + (shrink if decoupled else 0))
        history.append(dict(params))
    return history


def check(config, expected, params, grads):
    got = trajectory(config, params, grads)
    for t, (a, b) in enumerate(zip(got, expected, strict=True)):
        for name in b:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-12, atol=1e-14, err_msg=f"{name}, step {t}")


def test_the_table_holds_the_rules_tested_here():
    assert set(RULES) == set(OPTIMIZERS)


@pytest.mark.parametrize("mu", [0.9, 0.0])
@pytest.mark.parametrize("name", RULES)
def test_rule(name, mu, rng, x64):
    params, grads = problem(rng)
    config = OptimConfig(name=name, learning_rate=RATE, momentum=mu, schedule="constant")
    check(config, reference(RULES[name], params, grads, mu=mu), params, grads)


@pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])
@pytest.mark.parametrize("name", RULES)
def test_weight_decay(name, decoupled, rng, x64):
    """AdamW is decoupled by definition, whatever the setting."""
    params, grads = problem(rng)
    settings = dict(learning_rate=RATE, schedule="constant", weight_decay=0.3, decoupled=decoupled)
    expected = reference(RULES[name], params, grads, decay=0.3, decoupled=decoupled or name == "adamw")
    check(OptimConfig(name=name, **settings), expected, params, grads)


def test_coupled_and_decoupled_decay_differ_where_a_rule_has_memory(rng, x64):
    params, grads = problem(rng)
    one, other = (reference(momentum, params, grads, decay=0.3, decoupled=d)[-1]["dense"] for d in (False, True))
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize(
    ("name", "decoupled"), [case for case in itertools.product(RULES, [False, True]) if case != ("muon", False)]
)
def test_without_a_gradient_weights_shrink_and_biases_stay(name, decoupled, rng, x64):
    """Of a decay that is a part of its gradient, Muon takes the direction, not the length."""
    params, grads = problem(rng)
    nothing = [jax.tree.map(np.zeros_like, g) for g in grads]
    config = OptimConfig(name=name, learning_rate=RATE, schedule="constant", weight_decay=0.1, decoupled=decoupled)
    last = trajectory(config, params, nothing)[-1]
    np.testing.assert_array_equal(last["bias"], params["bias"])
    for kernel in ("conv", "dense"):
        assert np.all(np.abs(last[kernel]) < np.abs(params[kernel]))


@pytest.mark.parametrize("clip", [0.5, 3.0, 1e6])
def test_clipping_is_by_the_norm_over_all_parameters(clip, rng, x64):
    """0.5 clips every step, 3 some of them (each gradient scaled differently), 10⁶ none."""
    params, grads = problem(rng)
    factors = (1, 0.1, 5, 0.3, 2, 0.01)
    grads = [{name: f * g for name, g in step.items()} for step, f in zip(grads, factors, strict=True)]
    config = OptimConfig(name="momentum", learning_rate=RATE, schedule="constant", clip_norm=clip)
    check(config, reference(momentum, params, grads, clip=clip), params, grads)


def test_weight_decay_is_not_clipped(rng, x64):
    """The decay is added to the clipped gradient: a clip bounds what the data says, not the prior."""
    params, grads = problem(rng)
    config = OptimConfig(
        name="sgd", learning_rate=RATE, schedule="constant", clip_norm=0.1, weight_decay=2.0, decoupled=False
    )
    check(config, reference(sgd, params, grads, clip=0.1, decay=2.0), params, grads)


@pytest.mark.parametrize("name", ["nesterov", "adamw", "muon"])
def test_everything_together(name, rng, x64):
    params, grads = problem(rng)
    config = OptimConfig(
        name=name, learning_rate=RATE, schedule="cosine", weight_decay=0.2, decoupled=True, clip_norm=2.0
    )
    expected = reference(
        RULES[name],
        params,
        grads,
        rate=lambda t: RATE * (1 + np.cos(np.pi * t / STEPS)) / 2,
        decay=0.2,
        decoupled=True,
        clip=2.0,
    )
    check(config, expected, params, grads)


@pytest.mark.parametrize("name", RULES)
def test_float32_parameters_stay_float32(name):
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    config = OptimConfig(name=name, weight_decay=0.1, clip_norm=1.0)
    optimizer = build(config, STEPS)
    updates, _ = jax.eval_shape(optimizer.update, params, jax.eval_shape(optimizer.init, params), params)
    assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype("float32")}


SCHEDULES = ("constant", "cosine", "linear", "step")
PAIRS = {*((next(iter(RULES)), after) for after in SCHEDULES), *zip(RULES, itertools.cycle(SCHEDULES), strict=False)}
"""Every rule and every schedule, of which none knows of the others; all pairs are for the sweep."""


@pytest.mark.parametrize(
    ("name", "after"),
    [
        pytest.param(*pair, marks=() if pair in PAIRS else pytest.mark.sweep)
        for pair in itertools.product(RULES, SCHEDULES)
    ],
)
def test_traced_settings_are_those_of_a_config(name, after, rng, x64):
    """In the state of a compiled update, whatever the config itself holds in their place; to float32's rounding of the
    learning rate, as that is what Optax computes the schedule of a plain number in."""
    params, grads = problem(rng)
    kept = dict(name=name, schedule=after, warmup=0.34, clip_norm=2.0)
    values = dict(learning_rate=0.07, momentum=0.6, weight_decay=0.02)
    expected = trajectory(OptimConfig(**kept, **values), params, grads)
    found = trajectory(OptimConfig(**kept), params, grads, jax.tree.map(jnp.asarray, values))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


def test_only_numbers_of_the_update_are_traced():
    with pytest.raises(ValueError, match="traced holds 'clip_norm': expected one of learning_rate, momentum"):
        build(OptimConfig(), STEPS, ["clip_norm"])


@pytest.mark.parametrize("name", ["lion", "", "SGD"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"^optim\.name is {name!r}: expected one of sgd, momentum, nesterov, adam"):
        build(OptimConfig(name=name), STEPS)


def test_weights_only_is_by_rank():
    params = {"a": jnp.ones((3, 3, 1, 2)), "b": jnp.ones((3, 2)), "c": jnp.ones(2), "d": jnp.ones(())}
    assert optim.weights_only(params) == {"a": True, "b": True, "c": False, "d": False}


# --- muon -------------------------------------------------------------------------------------------------------------


def apart(chosen, one, other):
    """Trajectories of which `chosen` parameters are as in `one`, the rest as in `other`."""
    return [{name: (a if name in chosen else b)[name] for name in a} for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("steps", [1, 3])
def test_muon_makes_so_many_newton_schulz_steps(steps, rng, x64):
    params, grads = problem(rng)
    config = OptimConfig(name="muon", learning_rate=RATE, schedule="constant", newton_schulz_steps=steps)
    check(config, reference(partial(muon, steps=steps), params, grads), params, grads)


@pytest.mark.parametrize(("rest", "expected"), [(None, 0.9), (0.7, 0.7), (0.0, 0.0)])
def test_muon_leaves_logits_and_biases_to_nesterov_with_a_momentum_of_its_own(rest, expected, rng, x64):
    params, grads = problem(rng)
    params["logits"] = rng.standard_normal((3, 2))
    grads = [g | {"logits": rng.standard_normal((3, 2))} for g in grads]
    config = OptimConfig(name="muon", learning_rate=RATE, schedule="constant", rest_momentum=rest)
    hidden, others = reference(muon, params, grads), reference(nesterov, params, grads, mu=expected)
    check(config, apart({"conv", "dense"}, hidden, others), params, grads)


def test_what_muon_moves_are_kernels_of_layers_that_are_not_called_logits():
    kernel, bias = jnp.ones((3, 2)), jnp.ones(2)
    params = {
        "block": {"conv": {"kernel": kernel, "bias": bias}, "logits": {"kernel": kernel}},
        "logits": {"kernel": kernel, "bias": bias},
        "logits2": {"kernel": kernel},
    }
    found = optim.hidden_kernels(params)
    assert found == {
        "block": {"conv": {"kernel": True, "bias": False}, "logits": {"kernel": False}},
        "logits": {"kernel": False, "bias": False},
        "logits2": {"kernel": True},
    }


def test_muon_of_a_network_without_hidden_kernels_is_nesterov(rng, x64):
    params = {"logits": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}
    grads = [{name: rng.standard_normal(p.shape) for name, p in params.items()} for _ in range(STEPS)]
    config = OptimConfig(name="muon", learning_rate=RATE, schedule="constant", rescale=True)
    check(config, reference(nesterov, params, grads), params, grads)


@pytest.mark.parametrize("shape", [(3, 3, 8, 20), (60, 12), (12, 60)], ids=str)
def test_muon_moves_a_kernel_by_about_the_rate_in_every_direction(shape, rng, x64):
    """Whatever the gradient's singular values, after five steps those of the update are near 1."""
    params, config = {"w": rng.standard_normal(shape)}, OptimConfig(name="muon", learning_rate=1, schedule="constant")
    (after,) = trajectory(config, params, [{"w": 1e-4 * rng.standard_normal(shape)}])
    values = np.linalg.svd((np.asarray(after["w"]) - params["w"]).reshape(-1, shape[-1]), compute_uv=False)
    assert 0.6 < values.min() <= values.max() < 1.25


def test_rescaled_kernels_have_the_norm_of_their_outputs_before_each_update(rng, x64):
    params, grads = problem(rng)
    config = OptimConfig(name="muon", learning_rate=RATE, schedule="constant", rescale=True)
    check(config, reference(muon, params, grads, rescale={"conv", "dense"}), params, grads)
    still = trajectory(config, params, [jax.tree.map(np.zeros_like, grads[0])])[-1]
    assert np.linalg.norm(still["conv"]) == pytest.approx(3**0.5)
    assert np.linalg.norm(still["dense"]) == pytest.approx(3**0.5)
    np.testing.assert_array_equal(still["bias"], params["bias"])


@pytest.mark.parametrize("name", [name for name in RULES if name != "muon"])
def test_other_rules_rescale_nothing(name, rng, x64):
    """`unused_settings` says so."""
    params, grads = problem(rng)
    config = OptimConfig(name, RATE, schedule="constant", rescale=True, rest_momentum=0.1, newton_schulz_steps=1)
    check(config, reference(RULES[name], params, grads), params, grads)


def test_kernels_of_zeros_are_no_longer_after_they_are_rescaled(rng, x64):
    """Zeros have no direction to be scaled in; the update moves them all the same, and a gradient of zeros does not."""
    grads = [{"w": rng.standard_normal((4, 3))}]
    config = OptimConfig(name="muon", learning_rate=RATE, schedule="constant", rescale=True)
    params = {"w": np.zeros((4, 3))}
    check(config, reference(muon, params, grads), params, grads)
    (still,) = trajectory(config, params, [{"w": np.zeros((4, 3))}])
    np.testing.assert_array_equal(still["w"], 0)


# --- rates of single parameters ---------------------------------------------------------------------------------------


def test_parameters_have_the_rate_of_the_first_pattern_that_fits(rng, x64):
    params, grads = problem(rng)
    settings = dict(learning_rate=RATE, weight_decay=0.2, schedule="constant")
    own = {"bias": lambda t: 0.5, "conv": lambda t: 0.03}
    expected = reference(adam, params, grads, rates=own, decay=0.2, decoupled=True)
    check(OptimConfig("adamw", rates=("bias=0.5", "b*=7", "*v=0.03"), **settings), expected, params, grads)


def test_names_are_those_of_the_networks_parameters(rng, x64):
    params = {"stage": {"conv": {"kernel": rng.standard_normal((2, 3)), "bias": np.zeros(3)}}, "w": np.ones(2)}
    grads = [jax.tree.map(np.ones_like, params)]
    config = OptimConfig("sgd", RATE, schedule="constant", rates=("stage/conv/bias=1", "*/kernel=0.5"))
    (after,) = trajectory(config, params, grads)
    expected = {"stage": {"conv": {"kernel": 0.5, "bias": 1.0}}, "w": RATE}
    jax.tree.map(lambda a, b, moved: np.testing.assert_allclose(b - a, moved, rtol=1e-12), after, params, expected)


EVERYTHING = dict(learning_rate=RATE, weight_decay=0.3, rescale=True, schedule="linear")


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_a_rate_of_0_freezes_whatever_else_would_move_a_parameter(name, decoupled, rng, x64):
    params, grads = problem(rng)
    rescale = {"rescale": name == "muon"}
    config = OptimConfig(name, decoupled=decoupled, rates=("conv=0", "bias=0"), **(EVERYTHING | rescale))
    for after in trajectory(config, params, grads):
        np.testing.assert_array_equal(after["conv"], params["conv"])
        np.testing.assert_array_equal(after["bias"], params["bias"])
    assert np.abs(after["dense"] - params["dense"]).min() > 0


def test_a_rate_ends_after_its_fraction_of_the_run_and_what_it_moved_stays(rng, x64):
    """Its schedule lasts as long as it: half of the run is three steps, at 1, 2/3 and 1/3 of the peak."""
    params, grads = problem(rng)
    config = OptimConfig("muon", decoupled=True, rates=("conv=0.2@0.5", "bias=0.4@0.01"), **EVERYTHING)
    own = {"conv": lambda t: 0.2 * (1 - t / 3)}
    shared = dict(rate=lambda t: RATE * (1 - t / STEPS), decay=0.3, decoupled=True, rescale={"conv", "dense"})
    expected = reference(muon, params, grads, rates=own | {"bias": lambda t: 0.4 if t == 0 else 0}, **shared)
    for later in expected[3:]:
        later["conv"] = expected[2]["conv"]
    found = trajectory(config, params, grads)
    for t, (a, b) in enumerate(zip(found, expected, strict=True)):
        for name in b:
            # Optax computes a schedule's numbers in float32.
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-7, err_msg=f"{name}, step {t}")
    for later in found[3:]:
        np.testing.assert_array_equal(later["conv"], found[2]["conv"])


def test_what_is_at_rest_moves_no_more_and_all_else_does(rng, x64):
    params, grads = problem(rng)
    config = OptimConfig("muon", decoupled=True, rates=("conv=0.2@0.5", "bias=0.4@0.01"), **EVERYTHING)
    before, still = params, optim.at_rest(OptimConfig(), STEPS, STEPS, params)
    assert not any(jax.tree.leaves(still))
    for t, after in enumerate(trajectory(config, params, grads)):
        rests = optim.at_rest(config, STEPS, t, params)
        assert rests == {"conv": t >= 3, "bias": t >= 1, "dense": False}
        for name, resting in rests.items():
            assert bool((np.asarray(after[name]) == before[name]).all()) == resting
        before = after
    assert optim.at_rest(OptimConfig(rates=("dense=0",)), STEPS, 0, params)["dense"]


@pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])
def test_of_kernels_that_are_rescaled_the_others_decay(decoupled, rng, x64):
    """Muon's direction is that of the gradient alone; the logits are Nesterov's, and shrink."""
    params = {name: {"kernel": rng.standard_normal((4, 3))} for name in ("hidden", "logits")}
    grads = [{name: {"kernel": rng.standard_normal((4, 3))} for name in params} for _ in range(2)]
    settings = dict(learning_rate=RATE, schedule="constant", rescale=True, decoupled=decoupled)
    last, without = (
        trajectory(OptimConfig("muon", weight_decay=decay, **settings), params, grads)[-1] for decay in (0.5, 0.0)
    )
    np.testing.assert_array_equal(last["hidden"]["kernel"], without["hidden"]["kernel"])
    assert np.abs(last["logits"]["kernel"] - without["logits"]["kernel"]).max() > 0.01


def test_a_pattern_that_fits_nothing_is_refused_with_the_names_that_there_are():
    optimizer = build(OptimConfig(rates=("conv*=0.1", "head/*=0.1")), STEPS)
    message = r"^optim\.rates is 'head/\*': expected a pattern that fits one of conv/bias, conv/kernel$"
    with pytest.raises(ValueError, match=message):
        optimizer.init({"conv": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}})


def test_a_traced_rate_is_that_of_parameters_without_one_of_their_own(rng, x64):
    params, grads = problem(rng)
    kept = dict(name="muon", schedule="cosine", rates=("bias=0.3@0.5", "dense=0"), rescale=True)
    values = dict(learning_rate=0.07, momentum=0.6)
    expected = trajectory(OptimConfig(**kept, **values), params, grads)
    found = trajectory(OptimConfig(**kept), params, grads, jax.tree.map(jnp.asarray, values))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


# --- schedules --------------------------------------------------------------------------------------------------------


def rates(steps=100, **settings):
    rate = schedule(OptimConfig(learning_rate=2.0, **settings), steps)
    return np.array([float(rate(t)) for t in range(steps + 1)])


def test_constant():
    np.testing.assert_array_equal(rates(10, schedule="constant"), 2.0)


def test_cosine_is_half_a_cosine_from_the_peak_to_zero():
    t = np.arange(21)
    np.testing.assert_allclose(rates(20, schedule="cosine"), 1 + np.cos(np.pi * t / 20), atol=1e-6)
    got = rates(20, schedule="cosine")
    assert got[0] == 2
    np.testing.assert_allclose([got[10], got[20]], [1, 0], atol=1e-6)


def test_linear_is_a_straight_line_to_zero():
    np.testing.assert_allclose(rates(20, schedule="linear"), 2 * (1 - np.arange(21) / 20), atol=1e-6)


def test_steps_come_down_at_their_fractions():
    got = rates(20, schedule="step", step_at=(0.25, 0.5, 0.9), step_factor=0.5)
    expected = [2.0] * 5 + [1.0] * 5 + [0.5] * 8 + [0.25] * 3
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_no_steps_are_a_constant():
    np.testing.assert_array_equal(rates(10, schedule="step", step_at=()), 2.0)


@pytest.mark.parametrize("after", ["constant", "cosine", "linear", "step"])
def test_warm_up_rises_linearly_to_the_peak_and_hands_over_there(after):
    """Ten warm-up steps at 1/10, 2/10, … of the peak; the schedule that follows starts at the peak, and is stretched
    over what is left of the run."""
    got = rates(50, schedule=after, warmup=0.2, step_at=(0.5,))
    np.testing.assert_allclose(got[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    rest = np.arange(41) / 40
    expected = {
        "constant": 2 + 0 * rest,
        "cosine": 1 + np.cos(np.pi * rest),
        "linear": 2 * (1 - rest),
        # Fractions are of the whole run, warm-up included: step 25 is number 15 after it.
        "step": np.where(np.arange(41) < 15, 2, 0.2),
    }[after]
    np.testing.assert_allclose(got[10:], expected, atol=1e-6)


@pytest.mark.parametrize(("steps", "warmup", "expected"), [(10, 0.1, [2, 2]), (10, 0.0, [2, 2]), (10, 0.2, [1, 2, 2])])
def test_short_warm_ups(steps, warmup, expected):
    np.testing.assert_allclose(rates(steps, schedule="constant", warmup=warmup)[: len(expected)], expected, rtol=1e-6)


@pytest.mark.parametrize("after", ["constant", "cosine", "linear", "step"])
def test_a_run_may_be_all_warm_up(after):
    np.testing.assert_allclose(rates(10, schedule=after, warmup=1.0)[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)


@pytest.mark.parametrize("after", ["constant", "cosine", "linear", "step"])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_a_run_of_one_step_moves(after, warmup):
    first = rates(1, schedule=after, warmup=warmup)[0]
    assert 0 < first <= 2


@pytest.mark.parametrize(
    ("steps", "settings"),
    [
        (4, dict(step_at=(0.5, 0.6))),
        (100, dict(step_at=(0.5, 0.5))),
        (10, dict(step_at=(0.1, 0.2), warmup=0.5)),
    ],
    ids=["rounded to one step", "named twice", "within the warm-up"],
)
def test_steps_that_fall_together_all_count(steps, settings):
    """Two reductions by 10 end the run at a hundredth of the peak, however short the run is."""
    np.testing.assert_allclose(rates(steps, schedule="step", **settings)[steps - 1], 2.0 * 0.01, rtol=1e-6)


@pytest.mark.parametrize("after", ["constant", "cosine", "linear", "step"])
def test_the_optimizer_follows_the_schedule_one_step_per_update(after, rng, x64):
    """With a gradient of 1, plain descent's displacement is the learning rate itself."""
    config = OptimConfig(name="sgd", learning_rate=0.5, schedule=after, warmup=1 / 3)
    grads = [{"w": np.ones((1, 1))}] * STEPS
    path = [0.0] + [float(p["w"][0, 0]) for p in trajectory(config, {"w": np.zeros((1, 1))}, grads)]
    rate = schedule(config, STEPS)
    np.testing.assert_allclose(-np.diff(path), [float(rate(t)) for t in range(STEPS)], rtol=1e-6)


FALLS = {"step_at": "schedule", "step_factor": "schedule"}
MUON = dict.fromkeys(("newton_schulz_steps", "rest_momentum", "rescale"), "name")


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        (dict(name="sgd"), {"momentum": "name", **MUON, **FALLS, "decoupled": "weight_decay"}),
        (dict(name="sgd", weight_decay=0.1, schedule="step"), {"momentum": "name", **MUON}),
        (dict(name="nesterov", weight_decay=0.1), MUON | FALLS),
        (dict(name="adamw", schedule="step"), MUON | {"decoupled": "weight_decay"}),
        (dict(name="adamw", schedule="step", weight_decay=0.1), MUON | {"decoupled": "name"}),
        (dict(name="adam", schedule="step", weight_decay=0.1), MUON),
        (dict(name="unknown", schedule="linear", weight_decay=0.1), MUON | FALLS),
        (dict(name="muon", schedule="step", weight_decay=0.1), {}),
    ],
)
def test_settings_that_decide_nothing_are_named_with_their_reason(settings, unused):
    assert optim.unused_settings(OptimConfig(**settings)) == unused

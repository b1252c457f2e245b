"""Optimisers and learning-rate schedules, as short Optax chains.

The update of step t is  clip → + λw (coupled decay) → direction → + λw (decoupled decay) → × −η(t), and for Muon that
asks for it → + what brings w to its length.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax import contrib

from convnet.config import OptimConfig
from convnet.rates import Rate, first_fit, parsed


@dataclass(frozen=True)
class Rule:
    """How a gradient becomes a direction, and whether the rule's weight decay is decoupled by definition."""

    direction: Callable[[float | Array, OptimConfig], optax.GradientTransformation]
    """(momentum, config) -> the rule."""
    decoupled: bool = False


def hidden_kernels(params: Any) -> Any:
    """Mask of what Muon moves: kernels (rank ≥ 2) of all layers but one called logits."""
    return jax.tree_util.tree_map_with_path(
        lambda path, p: p.ndim >= 2 and "logits" not in _name(path).split("/"), params
    )


def _muon(momentum: float | Array, config: OptimConfig) -> optax.GradientTransformation:
    """Muon for hidden kernels as matrices [fan-in, outputs], Nesterov's momentum for the rest."""

    def matrices(params: Any) -> Any:
        def axes(p: Array) -> contrib.MuonDimensionNumbers:
            return contrib.MuonDimensionNumbers(reduction_axis=tuple(range(p.ndim - 1)), output_axis=p.ndim - 1)

        return jax.tree.map(axes, params)

    steps, rest = config.newton_schulz_steps, momentum if config.rest_momentum is None else config.rest_momentum
    muon = contrib.scale_by_muon(ns_steps=steps, beta=momentum, weight_dimension_numbers=matrices)
    return optax.partition({True: muon, False: optax.trace(rest, nesterov=True)}, hidden_kernels)


OPTIMIZERS: dict[str, Rule] = {
    "sgd": Rule(lambda momentum, config: optax.identity()),
    # v ← μv + g, w ← w − ηv (Polyak, 1964)
    "momentum": Rule(lambda momentum, config: optax.trace(momentum)),
    # v ← μv + g, w ← w − η(g + μv) (Nesterov, 1983, as Sutskever et al., ICML 2013, write it)
    "nesterov": Rule(lambda momentum, config: optax.trace(momentum, nesterov=True)),
    "adam": Rule(lambda momentum, config: optax.scale_by_adam(momentum)),
    "adamw": Rule(lambda momentum, config: optax.scale_by_adam(momentum), decoupled=True),
    # v ← μv + (1 − μ)g, w ← w − η·UVᵀ where μ v/(1 − μᵗ⁺¹) + (1 − μ) g/(1 − μᵗ) is about UΣVᵀ (Jordan et al., "Muon",
    # 2024, with Optax's correction for the start)
    "muon": Rule(_muon),
}


TRACED = ("learning_rate", "momentum", "weight_decay")
"""Settings whose numbers may live in the optimiser's state; the others decide what is computed."""


def schedule(config: OptimConfig, steps: int, peak: float | Array | None = None) -> optax.Schedule:
    """Learning rate as a function of the step, for a run of `steps` updates. peak: instead of the config's."""
    peak, warmup = config.learning_rate if peak is None else peak, round(config.warmup * steps)
    rest = max(steps - warmup, 1)
    after = {
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, rest),
        "linear": lambda: optax.linear_schedule(peak, 0.0, rest),
        "step": lambda: optax.piecewise_constant_schedule(peak, _falls(config, steps, warmup)),
    }[config.schedule]()
    if not warmup:
        return after
    # Step 0 already moves: the rate rises over 1/warmup, 2/warmup, …, 1.
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def _falls(config: OptimConfig, steps: int, warmup: int) -> dict[int, float]:
    """Step after the warm-up -> what the rate is multiplied by there; falls that round to one step all count."""
    falls: dict[int, float] = {}
    for at in config.step_at:
        step = max(round(at * steps) - warmup, 0)
        falls[step] = falls.get(step, 1.0) * config.step_factor
    return falls


def unused_settings(config: OptimConfig) -> dict[str, str]:
    """Fields of `config` that decide nothing, each with the field that makes it so."""
    found = {"momentum": "name"} if config.name == "sgd" else {}
    if config.name != "muon":
        found |= dict.fromkeys(("newton_schulz_steps", "rest_momentum", "rescale"), "name")
    if config.schedule != "step":
        found |= {"step_at": "schedule", "step_factor": "schedule"}
    if not config.weight_decay:
        found |= {"decoupled": "weight_decay"}
    elif config.name in OPTIMIZERS and OPTIMIZERS[config.name].decoupled:
        found |= {"decoupled": "name"}
    return found


def weights_only(params):
    """Mask of what weight decay shrinks: kernels (rank ≥ 2), not biases."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def _not_rescaled(params: Any) -> Any:
    """`weights_only` without the kernels whose length makes no difference."""
    return jax.tree.map(lambda weight, hidden: weight and not hidden, weights_only(params), hidden_kernels(params))


def build(config: OptimConfig, steps: int, traced: Collection[str] = ()) -> optax.GradientTransformation:
    """The optimiser of `config` for a run of `steps` updates.

    traced: names in TRACED whose numbers are to live in its state (`optax.inject_hyperparams`), where `with_numbers`
    puts others: one compiled program serves every value, and vmap over states trains a grid at once.

    Raises ValueError for an unknown name, listing the known ones.
    """
    if config.name not in OPTIMIZERS:
        raise ValueError(f"optim.name is {config.name!r}: expected one of {', '.join(OPTIMIZERS)}")
    if unknown := set(traced) - set(TRACED):
        raise ValueError(f"traced holds {sorted(unknown)[0]!r}: expected one of {', '.join(TRACED)}")
    rule = OPTIMIZERS[config.name]
    decays = bool(config.weight_decay) or "weight_decay" in traced
    decoupled = rule.decoupled or config.decoupled

    def chain(learning_rate, momentum, weight_decay) -> optax.GradientTransformation:
        mask = _not_rescaled if config.name == "muon" and config.rescale else weights_only
        decay = optax.add_decayed_weights(weight_decay, mask=mask) if decays else None
        links = (
            optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else None,
            None if decoupled else decay,
            rule.direction(momentum, config),
            decay if decoupled else None,
            _by_rates(config, steps, learning_rate),
        )
        return optax.chain(*(link for link in links if link is not None))

    if traced:
        chain = optax.inject_hyperparams(chain, static_args=set(TRACED) - set(traced))
    return chain(**{name: getattr(config, name) for name in TRACED})


def _by_rates(config: OptimConfig, steps: int, peak: float | Array) -> optax.GradientTransformation:
    """Multiplies by −η(t): that of `peak`, or by name those of `config.rates`. What has no rate stays as it is."""
    usual = _moved(config, steps, peak)
    if not config.rates:
        return usual
    rates = [parsed(text) for text in config.rates]

    def numbered(params: Any) -> Any:
        leaves, tree = jax.tree_util.tree_flatten_with_path(params)
        return jax.tree.unflatten(tree, map(str, first_fit(rates, [_name(path) for path, _ in leaves])))

    own = {str(i): _until(config, steps, rate) for i, rate in enumerate(rates)}
    return optax.partition({"None": usual} | own, numbered)


def at_rest(config: OptimConfig, steps: int, step: int, params: Any) -> Any:
    """Of each parameter, whether its rate has ended before `step` of so many: from there on it stays as it is."""
    rates = [parsed(text) for text in config.rates]
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    numbers = first_fit(rates, [_name(path) for path, _ in leaves])
    return jax.tree.unflatten(tree, [i is not None and _end(rates[i], steps) <= step for i in numbers])


def _end(rate: Rate, steps: int) -> int:
    """The first step of so many in which the rate moves nothing."""
    return max(round(rate.until * steps), 1) if rate.peak else 0


def _moved(config: OptimConfig, steps: int, peak: float | Array) -> optax.GradientTransformation:
    moved = optax.scale_by_learning_rate(schedule(config, steps, peak))
    return optax.chain(moved, _rescaled()) if config.name == "muon" and config.rescale else moved


def _until(config: OptimConfig, steps: int, rate: Rate) -> optax.GradientTransformation:
    """As the rate's own schedule moves parameters, then not at all."""
    last = _end(rate, steps)
    if last == 0:
        return optax.set_to_zero()
    moved = _moved(config, last, rate.peak)

    def init(params: Any) -> tuple[Array, Any]:
        return jnp.zeros((), jnp.int32), moved.init(params)

    def update(updates: Any, state: tuple[Array, Any], params: Any = None) -> tuple[Any, tuple[Array, Any]]:
        step, inner = state
        updates, inner = moved.update(updates, inner, params)
        return jax.tree.map(lambda update: jnp.where(step < last, update, 0), updates), (step + 1, inner)

    return optax.GradientTransformation(init, update)


def _rescaled() -> optax.GradientTransformation:
    """Hidden kernels are brought to the norm √(outputs), and then updated; zeros stay zeros."""

    def rescaling(p: Array) -> Array:
        norm = jnp.linalg.norm(p)
        return (p.shape[-1] ** 0.5 / jnp.where(norm > 0, norm, 1) - 1) * p

    def update(updates: Any, params: Any) -> Any:
        def lengthened(update: Array, p: Array, hidden: bool) -> Array:
            return update + rescaling(p) if hidden else update

        return jax.tree.map(lengthened, updates, params, hidden_kernels(params))

    return optax.stateless(update)


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def with_numbers(state: Any, numbers: Mapping[str, Array]) -> Any:
    """The state of an optimiser that was built with these names traced, with `numbers` in it."""
    if not numbers:
        return state
    # Of the dtype that they have after an update: a loop's state must not change its type.
    own = {name: jnp.asarray(value, state.hyperparams[name].dtype) for name, value in numbers.items()}
    return state._replace(hyperparams={**state.hyperparams, **own})

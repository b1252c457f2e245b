"""Exercise 6: one step of gradient descent with momentum."""

from __future__ import annotations

import jax
import numpy as np

from convnet import optim
from convnet.config import OptimConfig
from convnet.exercises.exercise import Case, Exercise, Mistake, drawn, fixed


def _cases() -> list[Case]:
    rng = np.random.default_rng(6)
    three = [drawn(rng, 2, 3) for _ in range(3)]
    return [
        Case("the first step: velocity 0", (drawn(rng, 4), fixed(np.zeros(4)), drawn(rng, 4), 0.1, 0.9)),
        Case("a later step", (drawn(rng, 4), drawn(rng, 4), drawn(rng, 4), 0.1, 0.9)),
        Case("a kernel of 3×3×1×2", (*(drawn(rng, 3, 3, 1, 2) for _ in range(3)), 0.05, 0.5)),
        Case("momentum 0", (*three, 0.25, 0.0)),
        Case("gradient 0: it rolls on", (drawn(rng, 3), drawn(rng, 3), fixed(np.zeros(3)), 0.1, 0.9)),
        Case("a large learning rate, 2", (*three, 2.0, 0.75)),
        Case("three steps, each from where the last one ended", (*three, 0.1, 0.9), run=_three_steps),
    ]


def _three_steps(step, weights, velocity, gradient, learning_rate, momentum):
    for factor in (1, -2, 0.5):
        weights, velocity = step(weights, velocity, factor * gradient, learning_rate, momentum)
    return weights, velocity


def _step(weights, velocity, gradient, learning_rate, momentum):
    config = OptimConfig("momentum", learning_rate, momentum, schedule="constant")
    rule = optim.build(config, steps=1)
    trace, *rest = rule.init(weights)
    updates, (trace, *_) = rule.update(gradient, (trace._replace(trace=velocity), *rest), weights)
    return jax.tree.map(np.asarray, (weights + updates, trace.trace))


EXERCISE = Exercise(
    number=6,
    title="one step of gradient descent with momentum",
    function="momentum_step",
    results=("weights", "velocity"),
    draw=_cases,
    solution=_step,
    plain=lambda w, v, g, lr, m: _moved(w, m * v + g, lr),
    reference="convnet.optim, which uses optax.trace",
    home="convnet/optim.py",
    mistakes=(
        Mistake(
            "with the weights moved up the gradient",
            lambda right, w, v, g, lr, m: (w + lr * (m * v + g), m * v + g),
        ),
        Mistake(
            "where the weights follow the old velocity: the new one is to be used",
            lambda right, w, v, g, lr, m: (w - lr * v, m * v + g),
        ),
        Mistake("without momentum", lambda right, w, v, g, lr, m: (w - lr * g, m * v + g)),
        Mistake(
            "as Nesterov does it, who looks ahead",
            lambda right, w, v, g, lr, m: (w - lr * (g + m * (m * v + g)), m * v + g),
        ),
        Mistake(
            "where the gradient has a weight of 1 − momentum, as in a running mean",
            lambda right, w, v, g, lr, m: _moved(w, m * v + (1 - m) * g, lr),
        ),
        Mistake(
            "where the learning rate is in the velocity: that is another rule when the rate changes",
            lambda right, w, v, g, lr, m: (w - (m * v + lr * g), m * v + lr * g),
        ),
        Mistake(
            "where the velocity points downhill: here it sums up gradients, and the weights go against it",
            lambda right, w, v, g, lr, m: (w + lr * (m * v - g), m * v - g),
        ),
        Mistake("where the velocity is never slowed down", lambda right, w, v, g, lr, m: _moved(w, v + g, lr)),
        Mistake(
            "where momentum slows the gradient, too",
            lambda right, w, v, g, lr, m: _moved(w, m * (v + g), lr),
        ),
        Mistake("without the learning rate", lambda right, w, v, g, lr, m: (w - (m * v + g), m * v + g)),
        Mistake(
            "where the learning rate is applied twice",
            lambda right, w, v, g, lr, m: (w - lr * (m * v + lr * g), m * v + lr * g),
        ),
        Mistake("where the old velocity is returned", lambda right, w, v, g, lr, m: (w - lr * (m * v + g), v)),
        Mistake(
            "where the velocity is replaced by the step that was taken",
            lambda right, w, v, g, lr, m: (w - lr * (m * v + g), lr * (m * v + g)),
        ),
    ),
)


def _moved(weights, velocity, learning_rate):
    return weights - learning_rate * velocity, velocity

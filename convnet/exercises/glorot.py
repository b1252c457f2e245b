"""Exercise 5: the scale of Glorot's initial weights."""

from __future__ import annotations

import math
from functools import partial

import jax
import numpy as np

from convnet import initializers
from convnet.exercises.exercise import QUICK, Case, Exercise, Mistake, fixed

KEY = 5
"""Of the random numbers: the library draws its weights from the same."""


def _numbers(shape: tuple[int, ...]) -> np.ndarray:
    """What `convnet.initializers` multiplies by its scale: uniform in [−1, 1)."""
    draw = partial(jax.random.uniform, shape=shape, minval=-1)
    return fixed(jax.jit(draw, compiler_options=QUICK)(jax.random.key(KEY)))


def _cases() -> list[Case]:
    shapes = {
        "a dense layer from 4 to 4": (4, 4),
        "a dense layer from 5 to 2": (5, 2),
        "a dense layer from 1 to 7": (1, 7),
        "a kernel of 3×3, two channels in, two out": (3, 3, 2, 2),
        "a kernel of 3×3, one channel in, four out": (3, 3, 1, 4),
        "a kernel of 2×5, three channels in, two out": (2, 5, 3, 2),
        "a kernel of 1×1, three channels in, five out": (1, 1, 3, 5),
    }
    return [Case(name, (_numbers(shape),)) for name, shape in shapes.items()]


@partial(jax.jit, static_argnames="shape", compiler_options=QUICK)
def _drawn(shape):
    return initializers.build("glorot_uniform")(jax.random.key(KEY), shape)


def _weights(numbers):
    """The library's weights; from the same random numbers, in float32 as they are."""
    with jax.enable_x64(False):
        return _drawn(numbers.shape)


def _fans(numbers) -> tuple[int, int]:
    area = math.prod(numbers.shape[:-2])
    return area * numbers.shape[-2], area * numbers.shape[-1]


def _scaled(scale):
    """A mistake: scale(fan-in, fan-out, shape) in the place of the right one."""
    return lambda right, numbers: numbers * scale(*_fans(numbers), numbers.shape)


EXERCISE = Exercise(
    number=5,
    title="the scale of Glorot's initial weights",
    function="glorot_uniform",
    results=("weights",),
    draw=_cases,
    solution=_weights,
    plain=lambda numbers: numbers * math.sqrt(6 / sum(_fans(numbers))),
    reference="convnet.initializers with the same random numbers",
    home="convnet/initializers.py",
    mistakes=(
        Mistake(
            "where a uniform number on [−1, 1) is taken to have a variance of 1: what is it?",
            _scaled(lambda i, o, shape: math.sqrt(2 / (i + o))),
        ),
        Mistake(
            "with the variance in the place of the standard deviation: a square root is missing",
            _scaled(lambda i, o, shape: 6 / (i + o)),
        ),
        Mistake("from the fan-in alone, as LeCun's", _scaled(lambda i, o, shape: math.sqrt(3 / i))),
        Mistake("from the fan-in alone, as He's", _scaled(lambda i, o, shape: math.sqrt(6 / i))),
        Mistake("from the fan-out alone", _scaled(lambda i, o, shape: math.sqrt(3 / o))),
        Mistake("from the fan-out alone, times √2", _scaled(lambda i, o, shape: math.sqrt(6 / o))),
        Mistake(
            "where the mean of fan-in and fan-out is not taken, but their sum",
            _scaled(lambda i, o, shape: math.sqrt(3 / (i + o))),
        ),
        Mistake(
            "where the pixels of the kernel are forgotten: a unit of the next layer sees all of them",
            _scaled(lambda i, o, shape: math.sqrt(6 / (shape[-2] + shape[-1]))),
        ),
        Mistake(
            "where the pixels of the kernel count in the fan-in only",
            _scaled(lambda i, o, shape: math.sqrt(6 / (i + shape[-1]))),
        ),
        Mistake(
            "where fans are the first two axes of the weights",
            _scaled(lambda i, o, shape: math.sqrt(6 / (shape[0] + shape[1]))),
        ),
        Mistake("with the bound squared", _scaled(lambda i, o, shape: 2 / (i + o))),
        Mistake(
            "where the numbers are moved to [0, 1): their mean has to stay 0",
            lambda right, numbers: right((numbers + 1) / 2),
        ),
        Mistake("without a scale", _scaled(lambda i, o, shape: 1.0)),
    ),
)

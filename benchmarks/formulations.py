"""Every formulation of a convolution's three maps, timed beside the others, and its rounding error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.cases import PRECISIONS, ConvLayer, draw
from benchmarks.peers.jax_ops import caller, precisely
from benchmarks.peers.program import Program
from benchmarks.timing import Timing, interleaved
from convnet.ops.formulations import MAPS, ON_ACCELERATORS, ON_CPU, Formulation, Problem, choose, direct
from convnet.ops.window import windows

DIRECTIONS = dict(zip(MAPS, ("fwd", "dx", "dw"), strict=True))
AT_ONCE, ONE_BY_ONE = "at once", "one by one"


@dataclass(frozen=True)
class Question:
    """One map of one layer. pairs: so many images and kernels of their own, as vmap makes them; 0: one of each."""

    layer: ConvLayer
    map: str
    batch: int
    precision: str = "float32"
    pairs: int = 0

    @property
    def at(self) -> Problem:
        sides, kernels = (self.layer.side, self.layer.side), (self.layer.kernel, self.layer.kernel)
        rows, cols = windows(sides, kernels, stride=self.layer.stride, padding=self.layer.padding)
        layer = self.layer
        return Problem(self.batch, layer.channels, layer.filters, rows, cols, layer.groups, paired=self.pairs > 0)

    @property
    def places(self) -> dict[str, Any]:
        return dict(rows=self.at.rows, cols=self.at.cols, groups=self.at.groups)

    def operands(self) -> list[np.ndarray]:
        """float32; [pairs, …] where there are pairs."""
        layer = self.layer
        shapes = {"x": layer.image_shape(self.batch), "w": layer.kernel_shape(), "g": layer.output_shape(self.batch)}
        names = {"correlate": "xw", "input_gradient": "gw", "kernel_gradient": "xg"}[self.map]
        lead = (self.pairs,) if self.pairs else ()
        return [draw(letter, (*lead, *shapes[letter])) for letter in names]


def known(name: str, *, cpu: bool) -> dict[str, Formulation]:
    """The formulations of a map by name: the platform's own first, then those of the other table."""
    tables = (ON_CPU, ON_ACCELERATORS) if cpu else (ON_ACCELERATORS, ON_CPU)
    found: dict[str, Formulation] = {}
    for table in tables:
        for form in table[name]:
            found.setdefault(form.name, form)
    return found


def functions(question: Question, *, cpu: bool, forms: tuple[str, ...] = ()) -> dict[tuple[str, str], Callable]:
    """(formulation, way) -> function of the operands, of every formulation that fits; of `forms` only where given.

    way: of pairs, "at once" and "one by one"; else empty.
    """
    found = {}
    for name, form in known(question.map, cpu=cpu).items():
        if (forms and name not in forms) or not form.fits(question.at):
            continue
        one = partial(form.compute, **question.places)
        if question.pairs:
            found[name, AT_ONCE] = jax.vmap(one)
            found[name, ONE_BY_ONE] = partial(_one_by_one, one)
        else:
            found[name, ""] = one
    return found


def _one_by_one(one: Callable, a: Array, b: Array) -> Array:
    return lax.map(lambda pair: one(*pair), (a, b))


def chosen(question: Question, *, cpu: bool) -> tuple[str, str]:
    """What the platform's table says."""
    form = choose(question.map, question.at, cpu=cpu)
    way = (AT_ONCE if form.vmapped(question.at) else ONE_BY_ONE) if question.pairs else ""
    return form.name, way


def measure(
    question: Question,
    timing: Timing,
    *,
    cpu: bool,
    forms: tuple[str, ...] = (),
    errors: bool = True,
    on_form: Callable[[str], None] = lambda form: None,
) -> list[dict[str, Any]]:
    """One entry per formulation and way; one that fails has the reason as its gap. errors: root mean square, relative,
    against the definition in float64, and as a multiple of that of XLA's own convolution."""
    asked = functions(question, cpu=cpu, forms=forms)
    pair = [jnp.asarray(a).astype(PRECISIONS[question.precision]) for a in question.operands()]
    programs = {
        key: precisely(question.precision, Program(caller(jax.jit(function), pair), units=max(question.pairs, 1)))
        for key, function in asked.items()
    }
    seconds, gaps = interleaved(programs, timing, on_program=lambda key: on_form(" ".join(filter(None, key))))
    results = [
        dict(
            label=question.layer.label,
            direction=DIRECTIONS[question.map],
            formulation=name,
            way=way,
            pairs=question.pairs,
            batch=question.batch,
            precision=question.precision,
            chosen=(name, way) == chosen(question, cpu=cpu),
            seconds=seconds[name, way],
            gap=gaps.get((name, way)),
            flops=question.layer.flops(question.batch),
        )
        for name, way in asked
    ]
    if errors:
        found = rounding_errors(question, asked, pair)
        for result in results:
            own = found[result["formulation"], result["way"]]
            result |= {"error": own, "error_over_direct": own / found["direct", result["way"]]}
    return results


def rounding_errors(question: Question, asked: dict, pair: list[Array]) -> dict[tuple[str, str], float]:
    """Of each function at the operands, against XLA's convolution of the same numbers in float64."""
    reference = partial(getattr(direct, question.map), **question.places)
    if question.pairs:
        reference = partial(_one_by_one, reference)
    with jax.enable_x64(True):
        exact = np.asarray(jax.jit(reference)(*(a.astype("float64") for a in pair)))
    size = np.mean(exact**2)
    return {
        key: float(np.sqrt(np.mean((np.asarray(jax.jit(function)(*pair), np.float64) - exact) ** 2) / size))
        for key, function in asked.items()
    }

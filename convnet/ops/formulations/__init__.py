"""How the three maps of a convolution are computed, and which way is taken where.

Every map (`correlate`, `input_gradient`, `kernel_gradient`) has several formulations: the same sums in another order.
`ON_CPU` and `ON_ACCELERATORS` are the whole policy, a table per map. The first line that can compute a problem and pays
for it is taken; `python -m benchmarks formulations` shows who wins on a machine. (The phases of dL/dx are forward
passes, and go by the table of these.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.formulations import direct, products, when, winograd
from convnet.ops.formulations.problem import TABLE, Choice, Formulation, Problem
from convnet.ops.window import Window

MAPS = ("correlate", "input_gradient", "kernel_gradient")


# --- the formulations -------------------------------------------------------------------------------------------------


def one_group(compute: Callable[..., Array]) -> Callable[..., Array]:
    """For formulations that know no groups."""

    def computed(a: Array, b: Array, *, rows: Window, cols: Window, groups: int) -> Array:
        del groups
        return compute(a, b, rows=rows, cols=cols)

    return computed


def by_phases(g: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """dL/dx by convolutions of stride 1 over g, one for each phase of the stride, each as the table says."""
    return products.phases(g, w, rows=rows, cols=cols, correlate=partial(compute, "correlate", groups=1))


def separately(name: str) -> Callable[..., Array]:
    """One group after the other, each as the table says. In every operand and result, groups divide the last axis."""

    def computed(a: Array, b: Array, *, rows: Window, cols: Window, groups: int) -> Array:
        def split(x: Array) -> Array:
            return jnp.moveaxis(x.reshape(*x.shape[:3], groups, x.shape[3] // groups), 3, 0)

        y = lax.map(lambda pair: compute(name, *pair, rows=rows, cols=cols, groups=1), (split(a), split(b)))
        return jnp.moveaxis(y, 0, 3).reshape(*y.shape[1:4], groups * y.shape[4])

    return computed


# --- the policy -------------------------------------------------------------------------------------------------------

ON_CPU: dict[str, tuple[Formulation, ...]] = {
    "correlate": (
        Formulation("depthwise", one_group(products.depthwise), **when.ONE_CHANNEL, vmapped=when.always),
        Formulation("separate", separately("correlate"), **when.GROUPS),
        Formulation("one_tap", one_group(products.one_tap), **when.ONE_TAP),
        Formulation(
            "taps",
            one_group(products.tap_sums),
            **when.PLAIN,
            pays=when.tap_sums_pay,
            vmapped=when.always,
        ),
        Formulation("winograd", one_group(winograd.correlate), **when.STRIPS, pays=when.winograd_pays),
        Formulation("eigen", one_group(direct.by_eigen), **when.PLAIN, pays=when.eigen_pays),
        Formulation("direct", direct.behind_barrier, **when.ANY),
    ),
    "input_gradient": (
        Formulation("depthwise", products.depthwise_input_gradient, **when.ONE_CHANNEL, vmapped=when.always),
        Formulation("separate", separately("input_gradient"), **when.GROUPS),
        Formulation("one_tap", one_group(products.one_tap_input_gradient), **when.ONE_TAP),
        Formulation(
            "col2im",
            one_group(products.col2im_input_gradient),
            **when.IN_CHUNKS,
            pays=when.col2im_pays,
            vmapped=when.always,
        ),
        Formulation("phases", one_group(by_phases), **when.UNDILATED, pays=when.few_phases),
        Formulation("direct", direct.input_gradient_behind_barrier, **when.ANY),
    ),
    "kernel_gradient": (
        Formulation("depthwise", one_group(products.depthwise_kernel_gradient), **when.ONE_CHANNEL_IN_CHUNKS),
        Formulation("separate", separately("kernel_gradient"), **when.GROUPS),
        Formulation("winograd", one_group(winograd.kernel_gradient), **when.STRIPS, pays=when.winograd_sums),
        Formulation("eigen", one_group(direct.kernel_gradient_by_eigen), **when.IN_CHUNKS, pays=when.eigen_sums),
        Formulation("patches", one_group(products.patches_kernel_gradient), **when.IN_CHUNKS, pays=when.patches_fit),
        Formulation(
            "taps",
            one_group(products.taps_kernel_gradient),
            **when.IN_CHUNKS,
            pays=when.enough_for_products,
        ),
        Formulation("direct", direct.kernel_gradient_behind_barrier, **when.ANY),
    ),
}
"""What XLA:CPU computes well: canonical convolutions, matrix products, elementwise loops. It has no grouped one."""

ON_ACCELERATORS: dict[str, tuple[Formulation, ...]] = {
    "correlate": (
        Formulation("one_tap", one_group(products.one_tap), **when.ONE_TAP),
        Formulation(
            "taps",
            one_group(products.tap_sums),
            **when.PLAIN,
            pays=when.pairs_of_few_terms,
            vmapped=when.always,
        ),
        Formulation(
            "patches",
            one_group(products.patches_correlate),
            **when.PLAIN,
            pays=when.small_pairs,
            vmapped=when.always,
        ),
        Formulation("direct", direct.correlate, **when.ANY, vmapped=when.large_one_by_one),
    ),
    "input_gradient": (
        Formulation("one_tap", one_group(products.one_tap_input_gradient), **when.ONE_TAP),
        Formulation(
            "shares",
            one_group(products.shares_input_gradient),
            **when.PLAIN,
            pays=when.pairs_at_once,
            vmapped=when.always,
        ),
        Formulation("direct", direct.input_gradient_permuted, **when.ANY, vmapped=when.large_one_by_one),
    ),
    "kernel_gradient": (
        Formulation(
            "patches",
            one_group(products.whole_patches_kernel_gradient),
            **when.PLAIN,
            pays=when.one_product,
            vmapped=when.always,
        ),
        Formulation("direct", direct.kernel_gradient_permuted, **when.ANY),
    ),
}
"""Accelerators have libraries for convolutions and their gradients, and `direct` is their way. Matrix products are
faster for 1×1 kernels, and for pairs, of which a library makes one convolution with a group for each, or a call for
each: benchmarks/README.md has the measurements."""


def problem_of(name: str, a: Array, b: Array, rows: Window, cols: Window, groups: int) -> Problem:
    """The problem that map `name` of operands a and b, or of what has their shapes, belongs to."""
    n, c, k = {
        "correlate": lambda: (a.shape[0], a.shape[3], b.shape[3]),
        "input_gradient": lambda: (a.shape[0], b.shape[2] * groups, b.shape[3]),
        "kernel_gradient": lambda: (a.shape[0], a.shape[3], b.shape[3]),
    }[name]()
    return Problem(n, c, k, rows, cols, groups)


def choose(name: str, problem: Problem, wish: str | None = None, *, cpu: bool = True) -> Formulation:
    """The formulation of map `name` for `problem`: the one called `wish`, or the table's.

    Raises ValueError for an unknown formulation, and for one that cannot compute the problem.
    """
    if wish is None:
        table = ON_CPU[name] if cpu else ON_ACCELERATORS[name]
        if not problem.sized:
            return table[-1]  # which takes anything
        return next(form for form in table if form.fits(problem) and form.pays(problem))
    table = {form.name: form for form in ON_CPU[name]}
    if wish not in table:
        raise ValueError(f"the formulation of {name} is {wish!r}: expected one of {', '.join(table)}")
    if not table[wish].fits(problem):
        kernel, stride, dilation = problem.kernel, problem.stride, problem.dilation
        raise ValueError(
            f"the formulation {wish!r} of {name} needs {table[wish].needs}: this layer has groups={problem.groups}, "
            f"kernel={kernel}, stride={stride}, dilation={dilation}, {problem.n} images of {problem.rows.size} rows "
            f"padded by ({problem.rows.lo}, {problem.rows.hi})"
        )
    return table[wish]


def compute(
    name: str,
    a: Array,
    b: Array,
    *,
    rows: Window,
    cols: Window,
    groups: int,
    choice: Choice = TABLE,
    paired: bool = False,
    cpu: bool = True,
) -> Array:
    """Map `name` of a and b, as `choice` says where that fits, else as the table of the platform does.

    (A choice that fitted when it was made need not fit under vmap, which may put more channels into a group.)
    `paired`: of R pairs, [R, …] and [R, …] -> [R, …], all at once or one after the other, as the formulation has it.
    """
    first = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in (a, b)] if paired else (a, b)
    problem = replace(problem_of(name, *first, rows, cols, groups), paired=paired)
    wish = getattr(choice, name)
    wished = [form for form in ON_CPU[name] if form.name == wish and form.fits(problem)]
    form = wished[0] if wished else choose(name, problem, cpu=cpu)
    one = partial(form.compute, rows=rows, cols=cols, groups=groups)
    if not paired:
        return one(a, b)
    return jax.vmap(one)(a, b) if form.vmapped(problem) else lax.map(lambda pair: one(*pair), (a, b))

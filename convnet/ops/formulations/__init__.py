"""How the three maps of a convolution are computed, and which way is taken where.

Every map (`correlate`, `input_gradient`, `kernel_gradient`) has several formulations: the same sums in another order.
`ON_CPU` and `ELSEWHERE` are the whole policy, a table per map. The first line that can compute a layer and pays for it
is taken. The bounds come from trials on one CPU and one GPU; `python scripts/bench_formulations.py` shows who wins on
another. (The phases of dL/dx are forward passes, and go by the table of these.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.formulations import direct, products, winograd
from convnet.ops.formulations.layer import TABLE, Choice, Formulation, Layer
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


def _one_group(layer: Layer) -> bool:
    return layer.groups == 1 and layer.forward and 0 not in (layer.n, layer.c, layer.k)


def _one_group_in_chunks(layer: Layer) -> bool:
    return _one_group(layer) and layer.divisible


def _one_channel_per_group(layer: Layer) -> bool:
    return layer.groups == layer.c > 1 and layer.forward and layer.n != 0


def _one_channel_in_chunks(layer: Layer) -> bool:
    return _one_channel_per_group(layer) and layer.divisible


def _undilated(layer: Layer) -> bool:
    return _one_group(layer) and layer.dilation == 1


def _strips_fit(layer: Layer) -> bool:
    """Filtered sums cancel: what a window or a tap that reads nothing but padding gives would be 0 to rounding only."""
    rows = layer.rows
    if not (_undilated(layer) and layer.divisible and layer.stride == 1 and rows.kernel in winograd.HEIGHTS):
        return False
    return bool(rows.real.any(0).all() and rows.real.any(1).all())


def _always(layer: Layer) -> bool:
    return True


ONE_CHANNEL = dict(fits=_one_channel_per_group, needs="one channel per group, and more than one group")
ONE_CHANNEL_IN_CHUNKS = dict(
    fits=_one_channel_in_chunks, needs="one channel per group, more than one group, and a batch of known size"
)
GROUPS = dict(fits=lambda layer: layer.groups > 1, needs="more than one group")
UNDILATED = dict(fits=_undilated, needs="one group and dilation 1")
STRIPS = dict(
    fits=_strips_fit,
    needs="one group, a kernel of 3 to 5 rows, stride and dilation 1, rows of the image in every window and under "
    "every tap, and a batch of known size",
)
ONE_TAP = dict(
    fits=lambda layer: _one_group(layer) and layer.kernel == (1, 1), needs="one group and a 1×1 kernel", maps=_always
)
PLAIN = dict(fits=_one_group, needs="one group")
IN_CHUNKS = dict(fits=_one_group_in_chunks, needs="one group and a batch of known size")
ANY = dict(fits=_always, needs="nothing")


def _winograd_pays(layer: Layer) -> bool:
    values = winograd.values_per_image(layer.rows, layer.cols, layer.c, layer.k)
    return _strips_pay(layer, least=60) and values <= 2 * winograd.BUDGET


def _winograd_sums(layer: Layer) -> bool:
    """For dL/dw, whose patches of five rows and columns take as long as is saved."""
    values = winograd.gradient_values_per_image(layer.rows, layer.cols, layer.c, layer.k)
    return layer.rows.kernel == 3 and _strips_pay(layer, least=40) and values <= 4 * winograd.SUMS_BUDGET


def _strips_pay(layer: Layer, least: float) -> bool:
    """Where at least so many products are saved for each transformed value."""
    return layer.pixels >= 512 and winograd.saving(layer.rows, layer.cols, layer.c, layer.k) >= least


def _eigen_pays(layer: Layer) -> bool:
    # With 16 channels or fewer on both sides XLA asks Eigen by itself, and YNNPACK is the better one where one side has
    # few, as first layers have.
    return layer.narrow >= 16 and max(layer.c, layer.k) > 16


def _few_terms(layer: Layer, limit: int) -> bool:
    """Whether a window holds few enough elements to look at each by itself."""
    return layer.c <= 4 and layer.c * layer.kernel[0] * layer.kernel[1] <= limit


def _tap_sums_pay(layer: Layer) -> bool:
    # Of pairs, the results of XLA's convolution would be copied to a stack, which takes as long.
    return (layer.k <= 16 and _few_terms(layer, 75)) or (layer.paired and _few_terms(layer, 32))


def _col2im_pays(layer: Layer) -> bool:
    shares = layer.places * layer.rows.kernel * layer.cols.kernel * layer.c
    return layer.stride == 1 and _few_terms(layer, 75) and shares <= 4 * products.SHARES


def _few_phases(layer: Layer) -> bool:
    return layer.stride <= layer.c


def _eigen_sums(layer: Layer) -> bool:
    """For dL/dw by a convolution, whose channels are the images of a chunk."""
    images = direct.images_at_once(layer.n, layer.rows, layer.cols, layer.c, layer.k)
    return images >= 8 and layer.k > 16 and layer.kernel != (1, 1)


def _enough_for_products(layer: Layer) -> bool:
    return layer.pixels >= 512


def _patches_fit(layer: Layer) -> bool:
    patches = layer.places * layer.rows.kernel * layer.cols.kernel * layer.c
    return _enough_for_products(layer) and layer.kernel != (1, 1) and patches <= 4 * products.BUDGET


# Elsewhere a pair keeps the device busy for less time than it takes to start the next, unless it is large. The bounds
# come from 64 pairs of the layers of two small networks on one GPU.


def _patch_values(layer: Layer) -> int:
    return layer.pixels * layer.kernel[0] * layer.kernel[1] * layer.c


def _pairs_at_once(layer: Layer) -> bool:
    return layer.paired and layer.sized and _patch_values(layer) <= 2**25


def _small_pairs(layer: Layer) -> bool:
    return layer.paired and layer.sized and _patch_values(layer) <= 2**21


def _pairs_of_few_terms(layer: Layer) -> bool:
    return _pairs_at_once(layer) and _few_terms(layer, 32)


def _large_one_by_one(layer: Layer) -> bool:
    return _one_channel_per_group(layer) or _pairs_at_once(layer)


def _one_product(layer: Layer) -> bool:
    return layer.kernel == (1, 1) or _pairs_at_once(layer)


ON_CPU: dict[str, tuple[Formulation, ...]] = {
    "correlate": (
        Formulation("depthwise", one_group(products.depthwise), **ONE_CHANNEL, maps=_always),
        Formulation("separate", separately("correlate"), **GROUPS),
        Formulation("one_tap", one_group(products.one_tap), **ONE_TAP),
        Formulation("taps", one_group(products.tap_sums), **PLAIN, pays=_tap_sums_pay, maps=_always),
        Formulation("winograd", one_group(winograd.correlate), **STRIPS, pays=_winograd_pays),
        Formulation("eigen", one_group(direct.by_eigen), **PLAIN, pays=_eigen_pays),
        Formulation("direct", direct.behind_barrier, **ANY),
    ),
    "input_gradient": (
        Formulation("depthwise", products.depthwise_input_gradient, **ONE_CHANNEL, maps=_always),
        Formulation("separate", separately("input_gradient"), **GROUPS),
        Formulation("one_tap", one_group(products.one_tap_input_gradient), **ONE_TAP),
        Formulation("col2im", one_group(products.col2im_input_gradient), **IN_CHUNKS, pays=_col2im_pays, maps=_always),
        Formulation("phases", one_group(by_phases), **UNDILATED, pays=_few_phases),
        Formulation("direct", direct.input_gradient_behind_barrier, **ANY),
    ),
    "kernel_gradient": (
        Formulation("depthwise", one_group(products.depthwise_kernel_gradient), **ONE_CHANNEL_IN_CHUNKS),
        Formulation("separate", separately("kernel_gradient"), **GROUPS),
        Formulation("winograd", one_group(winograd.kernel_gradient), **STRIPS, pays=_winograd_sums),
        Formulation("eigen", one_group(direct.kernel_gradient_by_eigen), **IN_CHUNKS, pays=_eigen_sums),
        Formulation("patches", one_group(products.patches_kernel_gradient), **IN_CHUNKS, pays=_patches_fit),
        Formulation("taps", one_group(products.taps_kernel_gradient), **IN_CHUNKS, pays=_enough_for_products),
        Formulation("direct", direct.kernel_gradient_behind_barrier, **ANY),
    ),
}
"""What XLA:CPU computes well: canonical convolutions, matrix products, elementwise loops. It has no grouped one."""

ELSEWHERE: dict[str, tuple[Formulation, ...]] = {
    "correlate": (
        Formulation("one_tap", one_group(products.one_tap), **ONE_TAP),
        Formulation("taps", one_group(products.tap_sums), **PLAIN, pays=_pairs_of_few_terms, maps=_always),
        Formulation("patches", one_group(products.patches_correlate), **PLAIN, pays=_small_pairs, maps=_always),
        Formulation("direct", direct.correlate, **ANY, maps=_large_one_by_one),
    ),
    "input_gradient": (
        Formulation("one_tap", one_group(products.one_tap_input_gradient), **ONE_TAP),
        Formulation("shares", one_group(products.shares_input_gradient), **PLAIN, pays=_pairs_at_once, maps=_always),
        Formulation("direct", direct.input_gradient_permuted, **ANY, maps=_large_one_by_one),
    ),
    "kernel_gradient": (
        Formulation(
            "patches", one_group(products.whole_patches_kernel_gradient), **PLAIN, pays=_one_product, maps=_always
        ),
        Formulation("direct", direct.kernel_gradient_permuted, **ANY),
    ),
}
"""Accelerators have libraries for convolutions and their gradients, and `direct` is their way. Matrix products are
faster for 1×1 kernels, and for pairs, of which a library makes one convolution with a group for each, or a call for
each: benchmarks/README.md has the measurements."""


def layer_of(name: str, a: Array, b: Array, rows: Window, cols: Window, groups: int) -> Layer:
    """The layer that map `name` of operands a and b, or of what has their shapes, belongs to."""
    n, c, k = {
        "correlate": lambda: (a.shape[0], a.shape[3], b.shape[3]),
        "input_gradient": lambda: (a.shape[0], b.shape[2] * groups, b.shape[3]),
        "kernel_gradient": lambda: (a.shape[0], a.shape[3], b.shape[3]),
    }[name]()
    return Layer(n, c, k, rows, cols, groups)


def choose(name: str, layer: Layer, wish: str | None = None, *, cpu: bool = True) -> Formulation:
    """The formulation of map `name` for `layer`: the one called `wish`, or the table's.

    Raises ValueError for an unknown formulation, and for one that cannot compute the layer.
    """
    if wish is None:
        table = ON_CPU[name] if cpu else ELSEWHERE[name]
        if not layer.sized:
            return table[-1]  # which takes anything
        return next(form for form in table if form.fits(layer) and form.pays(layer))
    table = {form.name: form for form in ON_CPU[name]}
    if wish not in table:
        raise ValueError(f"the formulation of {name} is {wish!r}: expected one of {', '.join(table)}")
    if not table[wish].fits(layer):
        kernel, stride, dilation = layer.kernel, layer.stride, layer.dilation
        raise ValueError(
            f"the formulation {wish!r} of {name} needs {table[wish].needs}: this layer has groups={layer.groups}, "
            f"kernel={kernel}, stride={stride}, dilation={dilation}, {layer.n} images of {layer.rows.size} rows padded "
            f"by ({layer.rows.lo}, {layer.rows.hi})"
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
    layer = replace(layer_of(name, *first, rows, cols, groups), paired=paired)
    wish = getattr(choice, name)
    wished = [form for form in ON_CPU[name] if form.name == wish and form.fits(layer)]
    form = wished[0] if wished else choose(name, layer, cpu=cpu)
    one = partial(form.compute, rows=rows, cols=cols, groups=groups)
    if not paired:
        return one(a, b)
    return jax.vmap(one)(a, b) if form.maps(layer) else lax.map(lambda pair: one(*pair), (a, b))

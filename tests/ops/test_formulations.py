"""Every formulation of a convolution's three maps computes the same sums; the tables choose as they say."""

import re
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence.conv import oracle as loops
from convnet.ops import HAND, Window, formulations
from convnet.ops.conv import conv2d_as
from convnet.ops.formulations import MAPS, ON_ACCELERATORS, ON_CPU, Problem, choose, chunks, direct, products, winograd
from convnet.ops.window import windows
from tests.ops.references import UNIT, assert_filtered, assert_sums

# name: (x, w, settings)
LAYERS = {
    "3x3": ((4, 6, 5, 3), (3, 3, 3, 2), {}),
    "3x3, odd sizes, padded": ((3, 5, 7, 2), (3, 3, 2, 3), {"padding": ((2, 0), (0, 3))}),
    "3x3, cropped": ((2, 8, 7, 2), (3, 3, 2, 2), {"padding": ((-1, 1), (1, -2))}),
    "3x3, valid": ((2, 4, 3, 2), (3, 3, 2, 2), {"padding": "VALID"}),
    "3x3, strips of four": ((2, 8, 5, 3), (3, 3, 3, 2), {}),
    "3x3, cropped below, strips of four": ((2, 10, 5, 2), (3, 3, 2, 2), {"padding": ((1, -2), (1, 0))}),
    "4x2, one row": ((2, 4, 3, 2), (4, 2, 2, 2), {"padding": "VALID"}),
    "4x1, strips of three": ((2, 7, 3, 3), (4, 1, 3, 2), {"padding": ((1, 3), (0, 1))}),
    "5x4, strips of two": ((2, 7, 5, 3), (5, 4, 3, 2), {"padding": ((-1, 2), (1, 0))}),
    "5x4, larger than the image": ((2, 2, 3, 3), (5, 4, 3, 2), {"padding": ((2, 3), (1, 2))}),
    "3x3, windows in padding": ((2, 3, 4, 2), (3, 3, 2, 3), {"padding": ((3, 4), (4, 1))}),
    "7x5": ((2, 9, 6, 2), (7, 5, 2, 2), {}),
    "5x4, stride (2, 3)": ((2, 9, 8, 2), (5, 4, 2, 3), {"stride": (2, 3)}),
    "3x3, stride 2, remainder, padded": ((4, 8, 6, 3), (3, 3, 3, 2), {"stride": 2, "padding": ((2, 0), (1, 3))}),
    "3x3, stride 2, cropped": ((1, 9, 8, 2), (3, 3, 2, 2), {"stride": 2, "padding": ((-3, 1), (2, -1))}),
    "2x1, stride (4, 3): gaps": ((2, 9, 8, 2), (2, 1, 2, 2), {"stride": (4, 3), "padding": "VALID"}),
    "1x1": ((2, 3, 4, 3), (1, 1, 3, 2), {}),
    "1x1, stride 2": ((2, 5, 6, 3), (1, 1, 3, 2), {"stride": 2, "padding": ((1, 0), (0, 2))}),
    "dilation (1, 2)": ((2, 6, 9, 2), (2, 3, 2, 3), {"dilation": (1, 2), "stride": (2, 1)}),
    "two groups": ((2, 6, 5, 4), (3, 3, 2, 6), {"groups": 2}),
    "depthwise": ((4, 5, 6, 3), (3, 3, 1, 3), {"stride": 2, "padding": 1, "groups": 3}),
    "depthwise, two each, dilated": ((2, 6, 4, 3), (2, 3, 1, 6), {"groups": 3, "dilation": (2, 1)}),
}


def layer(x, w, settings):
    settings = dict(settings)
    groups = settings.pop("groups", 1)
    rows, cols = windows(x[1:3], w[:2], **{"padding": "SAME", **settings})
    return Problem(x[0], x[3], w[3], rows, cols, groups)


FORMS = [(which, form) for tables in (ON_CPU, ON_ACCELERATORS) for which, table in tables.items() for form in table]


FEW = ("3x3, cropped below, strips of four", "5x4, strips of two", "7x5", "depthwise, two each, dilated")
"""Layers at which every formulation that fits is tried in every run."""


def fitting():
    """Every formulation at every layer it can compute, in float64; at the first of them in all precisions, and at one
    with a stride that leaves its phases different lengths. Of the others those of FEW; the rest is for the sweep.

    (label, layer) -> (map, formulation, dtypes, whether it is for the sweep)."""
    found, seen = {}, set()
    for name, case in LAYERS.items():
        for which, form in FORMS:
            if form.fits(layer(*case)):
                label = f"{which} {form.name}" + ("" if form in ON_CPU[which] else ", elsewhere")
                usual = label in seen and name != "5x4, stride (2, 3)"
                dtypes = ("float64",) if usual else ("float64", "float32", "bfloat16")
                seen.add(label)
                found[label, name] = which, form, dtypes, usual and name not in FEW
    return found


FITTING = fitting()


def operands(rng, which, x, w, at):
    g = (x[0], at.rows.output, at.cols.output, w[3])
    x, w, g = (rng.normal(size=shape) for shape in (x, w, g))
    return x, w, g, {"correlate": (x, w), "input_gradient": (g, w), "kernel_gradient": (x, g)}[which]


@cache
def definition(name):
    """Operands of each map of a layer; and its sum by the oracle, with the sum's scale and the number of its terms."""
    x, w, settings = LAYERS[name]
    at = layer(x, w, settings)
    pairs = {which: operands(np.random.default_rng(0), which, x, w, at)[-1] for which in MAPS}
    x, w, g, _ = operands(np.random.default_rng(0), "correlate", x, w, at)
    walks = [
        loops.conv2d(*args, **{"padding": "SAME", **settings})
        for args in ((x, w, g), map(np.abs, (x, w, g)), map(np.ones_like, (x, w, g)))
    ]
    return at, pairs, dict(zip(MAPS, zip(*walks, strict=True), strict=True))


@cache
def computed(name, dtype, swept):
    """What the formulations tried at a layer make of its operands in `dtype`, in one program: label -> result."""
    at, pairs, _ = definition(name)
    tried = {
        label: (which, form)
        for (label, where), (which, form, dtypes, sweep) in FITTING.items()
        if (where, sweep) == (name, swept) and dtype in dtypes
    }

    @jax.jit
    def compute(pairs):
        return {
            label: form.compute(*pairs[which], rows=at.rows, cols=at.cols, groups=at.groups)
            for label, (which, form) in tried.items()
        }

    rounded = jax.tree.map(lambda a: jnp.asarray(a, dtype), pairs)
    return rounded, compute(rounded)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        pytest.param(*key, id=": ".join(key), marks=pytest.mark.sweep if sweep else ())
        for key, (*_, sweep) in FITTING.items()
    ],
)
def test_every_formulation_that_fits_computes_the_definition(label, name, x64):
    which, form, dtypes, swept = FITTING[label, name]
    at, _, sums = definition(name)
    expected, scale, terms = sums[which]
    for dtype in dtypes:
        rounded, results = computed(name, dtype, swept)
        slack = 0 if dtype == "float64" else 2 * UNIT[dtype]  # the operands were rounded, too
        actual = results[label]
        assert actual.dtype == dtype
        if form.name == "winograd":
            assert_filtered(which, actual, [np.asarray(a, np.float64) for a in rounded[which]], at)
            continue
        assert_sums(actual, expected, scale * (1 + slack / UNIT[dtype]), terms)


@pytest.mark.parametrize(
    ("which", "name", "x", "w", "settings"),
    [
        ("correlate", "taps", (2, 9, 9, 3), (5, 5, 3, 4), {}),
        ("correlate", "depthwise", (2, 9, 9, 4), (7, 7, 1, 4), {"groups": 4}),
        ("input_gradient", "col2im", (2, 9, 9, 3), (5, 5, 3, 4), {}),
        ("input_gradient", "depthwise", (2, 9, 9, 4), (7, 7, 1, 4), {"groups": 4}),
        ("input_gradient", "shares", (2, 9, 9, 3), (3, 3, 3, 4), {}),
        ("kernel_gradient", "depthwise", (32, 9, 9, 4), (3, 3, 1, 4), {"groups": 4}),
        ("correlate", "winograd", (2, 9, 9, 3), (3, 3, 3, 4), {}),
        ("kernel_gradient", "winograd", (2, 9, 9, 3), (3, 3, 3, 4), {}),
    ],
)
def test_sums_in_low_precision_are_rounded_once(which, name, x, w, settings, rng):
    at = layer(x, w, settings)
    *_, pair = operands(rng, which, x, w, at)
    pair = [jnp.asarray(abs(a), "bfloat16") for a in pair]
    form = next(form for map_, form in FORMS if (map_, form.name) == (which, name))
    compute = jax.jit(partial(form.compute, rows=at.rows, cols=at.cols, groups=at.groups))
    with jax.enable_x64(True):
        exact = np.asarray(compute(*(a.astype("float64") for a in pair)))
    np.testing.assert_allclose(compute(*pair).astype("float32"), exact, rtol=1.01 * UNIT["bfloat16"])


@pytest.mark.parametrize("x", [(0, 5, 4, 3), (2, 5, 4, 0)], ids=["no images", "no channels"])
def test_nothing_is_a_convolution_too(x):
    x, w = jnp.ones((2, 3, *x)), jnp.ones((2, 3, 3, 3, x[3], 4))
    maps = lambda x, w: jax.vjp(HAND.conv2d, x, w)[1](HAND.conv2d(x, w))  # noqa: E731
    dx, dw = jax.vmap(jax.vmap(maps))(x, w)
    assert (dx.shape, dw.shape) == (x.shape, w.shape)
    assert not np.any(dw)


@pytest.mark.parametrize("form", ON_CPU["correlate"] + ON_CPU["kernel_gradient"], ids=lambda form: form.name)
def test_what_padding_crops_is_not_read(form, rng, x64):
    """NaN in rows that no window reads stays there, though strips may be longer than what is read."""
    which = "correlate" if form in ON_CPU["correlate"] else "kernel_gradient"
    groups = {"depthwise": 3, "separate": 3}.get(form.name, 1)
    side = 1 if form.name == "one_tap" else 3
    shapes = (2, 12, 5, 3), (side, side, 3 // groups, 3)
    at = layer(*shapes, {"padding": ((-1, side - 5), (0, 0)), "groups": groups})
    x, w, g, _ = operands(rng, which, *shapes, at)
    x[:, [0, 10, 11]] = np.nan
    pair = (x, w) if which == "correlate" else (x, g)
    compute = jax.jit(partial(form.compute, rows=at.rows, cols=at.cols, groups=groups))
    assert np.isfinite(compute(*pair)).all()


def test_the_layers_reach_every_formulation():
    reached = {label for label, _ in FITTING}
    everywhere = [("", ON_CPU), (", elsewhere", ON_ACCELERATORS)]
    assert reached == {
        f"{which} {form.name}{where}"
        for where, tables in everywhere
        for which, table in tables.items()
        for form in table
    }


@pytest.mark.parametrize("n", [1, 6, 7])
@pytest.mark.parametrize(
    ("which", "module", "name", "budget"),
    [
        ("correlate", winograd, "winograd", "BUDGET"),
        ("input_gradient", products, "col2im", "SHARES"),
        ("kernel_gradient", winograd, "winograd", "SUMS_BUDGET"),
        ("kernel_gradient", products, "patches", "BUDGET"),
        ("kernel_gradient", products, "taps", "BUDGET"),
    ],
)
def test_chunks_of_any_size_give_the_same_sums(n, which, module, name, budget, rng, monkeypatch, x64):
    x, w = (n, 5, 4, 2), (3, 3, 2, 3)
    at = layer(x, w, {})
    *_, pair = operands(rng, which, x, w, at)
    form = choose(which, at, name)

    def sums():  # compiled anew, as the budget is read while it is traced
        return jax.jit(partial(form.compute, rows=at.rows, cols=at.cols, groups=1))(*pair)

    whole = sums()
    sizes = []
    monkeypatch.setattr(module, budget, 200)
    chunk_size = chunks.chunk_size
    monkeypatch.setattr(module, "chunk_size", lambda *args: sizes.append(chunk_size(*args)) or sizes[-1])
    np.testing.assert_allclose(sums(), whole, rtol=1e-12, atol=1e-12)
    assert sizes[0] < n or n == 1
    assert n % sizes[0] == 0


@pytest.mark.parametrize("n", [1, 17, 32, 34])
def test_depthwise_sums_over_images_in_chunks_of_any_size(n, rng, x64):
    at = layer((n, 4, 3, 2), (3, 3, 1, 4), {"groups": 2, "stride": 2})
    *_, pair = operands(rng, "kernel_gradient", (n, 4, 3, 2), (3, 3, 1, 4), at)
    depthwise, separate = (
        jax.jit(partial(choose("kernel_gradient", at, name).compute, rows=at.rows, cols=at.cols, groups=2))(*pair)
        for name in ("depthwise", "separate")
    )
    np.testing.assert_allclose(depthwise, separate, rtol=1e-12, atol=1e-12)


def test_chunk_size_divides_and_stays_within_its_budget():
    assert [chunks.chunk_size(n, 10, 45) for n in (1, 4, 6, 7, 8, 0)] == [1, 4, 3, 1, 4, 1]
    assert chunks.chunk_size(8, 100, 45) == 1


# --- phases, zeros, chunks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "w", "stride", "convolutions"),
    [((2, 16, 16, 64), (3, 3, 64, 64), 1, 6), ((2, 32, 32, 64), (5, 5, 64, 64), 2, 6 + 6 + 1 + 1)],
)
def test_phases_of_a_gradient_in_the_image_are_computed_as_the_table_says(x, w, stride, convolutions, rng, x64):
    """Strips of phases with three rows of taps are filtered: six convolutions of rows for one."""
    at = layer(x, w, {"stride": stride})
    *_, pair = operands(rng, "input_gradient", x, w, at)
    phases, direct = (
        partial(choose("input_gradient", at, name).compute, rows=at.rows, cols=at.cols, groups=1)
        for name in (None, "direct")
    )
    assert str(jax.make_jaxpr(phases)(*pair)).count("conv_general_dilated") == convolutions
    np.testing.assert_allclose(jax.jit(phases)(*pair), jax.jit(direct)(*pair), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("inner", ["winograd", pytest.param("eigen", marks=pytest.mark.sweep), "direct"])
@pytest.mark.parametrize(
    "name",
    [
        "3x3, odd sizes, padded",
        "3x3, cropped below, strips of four",
        "5x4, stride (2, 3)",
        "3x3, stride 2, remainder, padded",
        "3x3, stride 2, cropped",
        "2x1, stride (4, 3): gaps",
    ],
)
def test_phases_by_any_convolution(name, inner, x64):
    """Windows of phases may crop low and pad high, whatever those of the layer do."""
    at, pairs, sums = definition(name)
    expected, scale, terms = sums["input_gradient"]

    def correlate(x, w, **places):
        at = formulations.problem_of("correlate", x, w, **places, groups=1)
        fits = next(form for form in ON_CPU["correlate"] if form.name == inner).fits(at)
        return choose("correlate", at, inner if fits else "eigen").compute(x, w, **places, groups=1)

    # In float32 XLA:CPU errs by anything where it crops and pads (`_crop_low`): a hundred roundings more are little.
    phases = partial(products.phases, rows=at.rows, cols=at.cols, correlate=correlate)
    wide, narrow = ([a.astype(dtype) for a in pairs["input_gradient"]] for dtype in ("float64", "float32"))
    for actual in jax.jit(lambda *pairs: [phases(*pair) for pair in pairs])(wide, narrow):
        assert_sums(actual, expected, np.full_like(scale, 100 * scale.max()), terms.max())


def test_zeros_that_padding_makes_are_exact(rng):
    """A filter's sums cancel to rounding, so it is not taken where windows or taps read nothing but padding."""
    x, w = (jnp.asarray(rng.normal(size=shape), "float32") for shape in ((8, 16, 16, 64), (3, 3, 64, 64)))
    assert not np.any(jax.grad(lambda x: jnp.sum(HAND.conv2d(x, w, padding=((-2, 1), (1, 1))) ** 2))(x)[:, :2])
    y = HAND.conv2d(x, w, padding=((4, 4), (1, 1)))
    assert not np.any(np.asarray(y)[:, [0, 1, -2, -1]])
    assert np.all(y[:, 2:-2])
    x = jnp.asarray(rng.normal(size=(64, 6, 16, 64)), "float32")
    dw = jax.grad(lambda w: jnp.sum(HAND.conv2d(x, w, padding=((2, -4), (1, 1))) ** 2))(w)
    assert np.any(dw[1])
    assert not np.any(dw[0])


def test_the_chunks_of_a_kernel_gradient_are_two_or_more(rng, monkeypatch, x64):
    """What a loop reads was made before it; a single chunk is no loop."""
    at = layer((128, 32, 32, 64), (3, 3, 64, 64), {})
    sizes = {n: direct.images_at_once(n, at.rows, at.cols, at.c, at.k) for n in (1, 7, 8, 16, 24, 127, 128, 1024)}
    assert sizes == {1: 1, 7: 1, 8: 4, 16: 8, 24: 12, 127: 1, 128: 32, 1024: 32}
    gradient = jax.jit(jax.grad(lambda w, x: jnp.sum(conv2d_as(kernel_gradient="eigen")(x, w))))
    for n in (16, 128):
        text = gradient.lower(jnp.ones((3, 3, 3, 4)), jnp.ones((n, 5, 5, 3))).compile().as_text()
        assert " while(" in text
    at = layer((12, 5, 4, 2), (3, 3, 2, 3), {})
    *_, pair = operands(rng, "kernel_gradient", (12, 5, 4, 2), (3, 3, 2, 3), at)
    compute = partial(direct.kernel_gradient_by_eigen, *pair, rows=at.rows, cols=at.cols)
    halves = compute()
    monkeypatch.setattr(direct, "BUDGET", 4 * 5 * 4 * 5)
    assert direct.images_at_once(12, at.rows, at.cols, 2, 3) == 4
    np.testing.assert_allclose(compute(), halves, rtol=1e-12, atol=1e-12)


def test_a_dilated_image_is_read_at_its_own_elements():
    """The windows of the formulation are those of the layer, whose stride and dilation may be anything."""
    for window in (Window(9, 3, 2, 1, lo=1, hi=2), Window(11, 4, 3, 2, lo=-1), Window(5, 2, 1, 3, 2, lo=0, hi=-2)):
        wider = direct.dilated(window)
        assert wider.output == window.output
        np.testing.assert_array_equal(wider.positions, 2 * window.positions)
        np.testing.assert_array_equal(wider.real, window.real)


# --- the tables -------------------------------------------------------------------------------------------------------


def chosen(x, w, settings, cpu=True):
    return tuple(choose(which, layer(x, w, settings), cpu=cpu).name for which in MAPS)


@pytest.mark.parametrize(
    ("x", "w", "settings", "names"),
    [
        ((128, 32, 32, 64), (3, 3, 64, 64), {}, ("winograd", "phases", "winograd")),
        ((128, 14, 14, 32), (5, 5, 32, 64), {}, ("winograd", "phases", "eigen")),
        ((128, 32, 32, 32), (3, 3, 32, 32), {}, ("eigen", "phases", "winograd")),
        ((128, 32, 32, 16), (3, 3, 16, 64), {}, ("eigen", "phases", "eigen")),
        ((128, 28, 28, 15), (3, 3, 15, 64), {}, ("direct", "phases", "eigen")),
        ((128, 28, 28, 16), (3, 3, 16, 16), {}, ("direct", "phases", "patches")),
        ((4, 28, 28, 16), (3, 3, 16, 16), {}, ("direct", "phases", "patches")),
        ((128, 28, 28, 1), (5, 5, 1, 32), {}, ("direct", "col2im", "eigen")),
        ((128, 28, 28, 1), (5, 5, 1, 8), {}, ("taps", "col2im", "patches")),
        ((128, 32, 32, 3), (7, 7, 3, 64), {}, ("direct", "phases", "eigen")),  # 147 planes
        ((128, 32, 32, 5), (3, 3, 5, 8), {}, ("direct", "phases", "patches")),
        ((128, 32, 32, 64), (3, 3, 64, 128), {"stride": 2}, ("eigen", "phases", "eigen")),
        ((128, 16, 16, 64), (3, 3, 64, 64), {"dilation": 2}, ("eigen", "direct", "eigen")),
        ((128, 28, 28, 8), (3, 3, 8, 8), {"stride": 2}, ("direct", "phases", "patches")),
        ((128, 28, 28, 1), (3, 3, 1, 8), {"stride": 2}, ("taps", "direct", "patches")),
        ((128, 64, 64, 16), (32, 32, 16, 32), {"stride": 32}, ("eigen", "direct", "eigen")),  # a thousand phases
        ((128, 32, 32, 64), (1, 1, 64, 128), {"stride": 2}, ("one_tap", "one_tap", "taps")),
        ((128, 32, 32, 64), (3, 3, 1, 64), {"groups": 64}, ("depthwise", "depthwise", "depthwise")),
        ((128, 16, 16, 128), (3, 3, 64, 128), {"groups": 2}, ("separate", "separate", "separate")),
        ((512, 7, 7, 64), (3, 3, 64, 64), {}, ("winograd", "phases", "winograd")),  # the last strip half empty
        ((128, 5, 5, 64), (3, 3, 64, 64), {}, ("eigen", "phases", "winograd")),  # ten products of rows, not 15
        ((8, 8, 8, 128), (3, 3, 128, 128), {}, ("winograd", "phases", "winograd")),
        ((7, 8, 8, 128), (3, 3, 128, 128), {}, ("eigen", "phases", "direct")),  # few strips for transformed kernels
        ((8, 224, 224, 256), (3, 3, 256, 256), {}, ("eigen", "phases", "taps")),  # an image's strips: 150 MiB
        ((128, 16, 16, 64), (3, 3, 64, 64), {"padding": ((3, 1), (1, 1))}, ("eigen", "phases", "eigen")),  # zeros
        ((2, 112, 112, 64), (3, 3, 64, 64), {}, ("winograd", "phases", "winograd")),
        ((2, 224, 224, 64), (3, 3, 64, 64), {}, ("winograd", "phases", "taps")),
        ((2, 6, 6, 64), (3, 3, 64, 64), {}, ("eigen", "phases", "direct")),
        ((0, 32, 32, 64), (3, 3, 64, 64), {}, ("direct", "direct", "direct")),
    ],
)
def test_the_table_for_cpus(x, w, settings, names):
    assert chosen(x, w, settings) == names


def test_elsewhere_the_library_is_asked_unless_a_product_is_all():
    for name, (x, w, settings) in LAYERS.items():
        expected = ("one_tap", "one_tap", "patches") if name.startswith("1x1") else ("direct",) * 3
        assert chosen(x, w, settings, cpu=False) == expected


@pytest.mark.parametrize(
    ("x", "w", "names", "at_once"),
    [
        ((32, 8, 8, 1), (3, 3, 1, 32), ("taps", "shares", "patches"), (True, True, True)),
        ((32, 4, 4, 32), (3, 3, 32, 64), ("patches", "shares", "patches"), (True, True, True)),
        ((128, 14, 14, 32), (3, 3, 32, 64), ("direct", "shares", "patches"), (True, True, True)),
        ((128, 32, 32, 64), (3, 3, 64, 64), ("direct", "direct", "direct"), (False, False, False)),
        ((128, 8, 8, 64), (1, 1, 64, 64), ("one_tap", "one_tap", "patches"), (True, True, True)),
    ],
)
def test_elsewhere_small_pairs_are_computed_at_once(x, w, names, at_once):
    pair = replace(layer(x, w, {}), paired=True)
    forms = [choose(which, pair, cpu=False) for which in MAPS]
    assert tuple(form.name for form in forms) == names
    assert tuple(form.vmapped(pair) for form in forms) == at_once


ELSEWHERE = [  # the rest is for the sweep
    pytest.param(name, marks=() if name in {*FEW, "1x1, stride 2", "5x4, stride (2, 3)"} else pytest.mark.sweep)
    for name in LAYERS
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_elsewhere_the_same_is_computed_for_one_and_for_pairs(name, rng, x64):
    """As the table for other devices has it, each pair is what the table for CPUs makes of it; so it is at once."""
    x, w, settings = LAYERS[name]
    at = layer(x, w, settings)
    pairs = {which: [operands(rng, which, x, w, at)[-1] for _ in range(2)] for which in MAPS}
    places = dict(rows=at.rows, cols=at.cols, groups=at.groups)

    @jax.jit
    def maps(pairs):
        found = []
        for which, both in pairs.items():
            here, there = (partial(formulations.compute, which, cpu=cpu, **places) for cpu in (True, False))
            stacked = [jnp.stack(operand) for operand in zip(*both, strict=True)]
            found.append([[f(*pair) for pair in both] for f in (here, there)] + [there(*stacked, paired=True)])
        return found

    for here, there, together in maps(pairs):
        np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(together, there, rtol=1e-12, atol=1e-12)


def test_a_window_that_describes_a_gradient_is_left_to_the_library():
    """Their input is dilated; only XLA's convolution knows that."""
    dilated = Window(32, 3, input_dilation=2, lo=1, hi=1)
    at = Problem(128, 64, 64, dilated, dilated, 1)
    assert [choose(which, at).name for which in MAPS] == ["direct"] * 3


# --- through conv2d ---------------------------------------------------------------------------------------------------

EXPERIMENTS = {
    "winograd": ((4, 6, 5, 3), (3, 3, 3, 4), {}, dict(correlate="winograd", kernel_gradient="winograd")),
    "eigen": ((4, 6, 5, 3), (3, 3, 3, 4), {"stride": 2}, dict(correlate="eigen", kernel_gradient="eigen")),
    "products": ((4, 6, 6, 3), (3, 3, 3, 4), {"stride": 2}, dict(input_gradient="phases", kernel_gradient="patches")),
    "few channels": ((4, 6, 6, 3), (3, 3, 3, 4), {}, dict(correlate="taps", input_gradient="col2im")),
    "taps": ((4, 6, 6, 3), (1, 1, 3, 4), {"stride": 2}, dict(input_gradient="one_tap", kernel_gradient="taps")),
    "groups": ((4, 6, 6, 4), (3, 3, 2, 4), {"groups": 2}, dict.fromkeys(MAPS, "separate")),
    "depthwise": ((4, 6, 6, 4), (3, 3, 1, 4), {"groups": 4}, dict.fromkeys(MAPS, "depthwise")),
}


@pytest.mark.parametrize(("x", "w", "settings", "names"), EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_chosen_formulation_goes_through_every_transform(x, w, settings, names, rng, x64):
    direct = dict.fromkeys(MAPS, "direct")
    ours, usual = (partial(conv2d_as(**wishes), **settings) for wishes in (names, direct))
    x, w, v, u = (jnp.asarray(rng.normal(size=shape)) for shape in (x, w, w, x))
    bundle = jnp.stack([w, v, w + v])

    def transforms(op):
        def loss(x, w):
            return jnp.sum(jnp.sin(op(x, w)))

        gradient = jax.jit(jax.grad(loss, (0, 1)))  # traced once, and transformed as it stands
        product = lambda w: jax.jvp(lambda w: gradient(x, w), (w,), (v,))  # noqa: E731
        scanned = jax.lax.scan(lambda w, _: (w - 0.1 * gradient(x, w)[1], loss(x, w)), w, None, length=3)
        pairs = jnp.stack([x, u, x - u])
        return (
            gradient(x, w),
            product(w),
            jax.jvp(op, (x, w), (u, v)),
            jax.vmap(gradient, (None, 0))(x, bundle),
            jax.vmap(gradient)(pairs, bundle),
            jax.vmap(lambda x: jax.vjp(lambda w: op(x, w), w)[1](op(u, v)))(pairs),
            jax.grad(lambda w: sum(jnp.sum(p**2) for p in jax.checkpoint(gradient)(x, w)))(w),
            scanned,
        )

    for one, other in zip(
        *(jax.tree.leaves(jax.jit(lambda op=op: transforms(op))()) for op in (ours, usual)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("x", "w", "settings", "names"), EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_chosen_formulation_runs_under_shard_map(x, w, settings, names, rng, x64):
    op = partial(conv2d_as(**names), **settings)
    x, w = (jnp.asarray(rng.normal(size=shape)) for shape in (x, w))
    gradient = jax.grad(lambda w, x: jnp.sum(op(x, w) ** 2))
    part, whole = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
    shared = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(whole, part), out_specs=whole))
    np.testing.assert_allclose(shared(w, x), gradient(w, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)])
@pytest.mark.parametrize("groups", [1, 2])
def test_vmap_leads_to_no_grouped_convolution(axes, groups):
    x, w = jnp.ones((3, 2, 6, 6, 4)), jnp.ones((3, 3, 3, 4 // groups, 4))
    args = [a if axis == 0 else a[0] for a, axis in zip((x, w), axes, strict=True)]
    direct = conv2d_as(**dict.fromkeys(MAPS, None if groups > 1 else "direct"))
    loss = jax.grad(lambda x, w: jnp.sum(direct(x, w, groups=groups) ** 2), (0, 1))
    text = jax.jit(jax.vmap(loss, axes)).lower(*args).as_text()
    assert set(re.findall(r"feature_group_count = (\d+)", text)) == {"1"}


@pytest.mark.parametrize(
    ("x", "w", "settings", "looped"),
    [
        ((2, 6, 6, 8), (1, 1, 8, 4), {}, False),
        ((2, 6, 6, 8), (3, 3, 1, 8), {"groups": 8}, False),
        ((2, 6, 6, 1), (3, 3, 1, 8), {}, False),
        ((2, 6, 6, 3), (3, 3, 3, 32), {}, False),
        ((2, 6, 6, 3), (5, 5, 3, 32), {}, True),
        ((2, 6, 6, 8), (3, 3, 8, 4), {}, True),
    ],
)
def test_pairs_are_looped_over_unless_they_are_sums_and_products(x, w, settings, looped):
    op = partial(HAND.conv2d, **settings)
    text = jax.jit(jax.vmap(op)).lower(jnp.ones((3, *x)), jnp.ones((3, *w))).as_text()
    assert ("stablehlo.while" in text) == ("stablehlo.convolution" in text) == looped


@pytest.mark.parametrize("names", [{}, dict.fromkeys(MAPS, "direct")], ids=["table", "direct"])
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_pairs_of_pairs(axes, names, rng, x64):
    """vmap over pairs, and over one side of them: values and both gradients are those of each pair by itself."""
    outer, inner = 2, 3
    x, w = (rng.normal(size=(inner, *shape)) for shape in ((2, 5, 4, 3), (3, 3, 3, 4)))
    x, w = (rng.normal(size=(outer, *a.shape)) if axis == 0 else a for a, axis in zip((x, w), axes, strict=True))

    def maps(x, w):
        y, pullback = jax.vjp(conv2d_as(**names), x, w)
        return y, *pullback(jnp.cos(y))

    found = jax.jit(jax.vmap(jax.vmap(maps), axes))(x, w)
    for i, j in np.ndindex(outer, inner):
        alone = maps(*(jnp.asarray((a[i] if axis == 0 else a)[j]) for a, axis in zip((x, w), axes, strict=True)))
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_allclose(one[i, j], other, rtol=1e-12, atol=1e-12)


def test_on_cpus_every_convolution_has_canonical_operands(x64):
    """NHWC, HWIO, NHWC, behind a barrier: anything else falls off XLA's fast path."""
    op = conv2d_as(**dict.fromkeys(MAPS, "direct"))
    gradient = jax.grad(lambda x, w: jnp.sum(op(x, w) ** 2), (0, 1))
    text = jax.jit(gradient).lower(jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 4, 4))).as_text()
    lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert len(lines) == 3
    assert all("[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line for line in lines)
    assert text.count("optimization_barrier") >= 3


@pytest.mark.parametrize("name", ["direct", "eigen"])
@pytest.mark.parametrize("which", range(2))
def test_and_keeps_them_inside_a_loop(which, name):
    """There XLA:CPU does not put them in order: what it compiles is what it was given."""
    op = conv2d_as(correlate=name, input_gradient="phases" if name == "eigen" else name, kernel_gradient=name)
    x, w = jnp.ones((32, 6, 6, 24)), jnp.ones((3, 3, 24, 24))  # phases of which are left to Eigen

    def step(carry, _):
        gradient = jax.grad(lambda *args: jnp.sum(op(*args) ** 2), which)(*carry)
        return tuple(gradient if i == which else a for i, a in enumerate(carry)), None

    compiled = jax.jit(lambda *args: jax.lax.scan(step, args, None, length=3)[0]).lower(x, w).compile().as_text()
    lines = [line for line in compiled.splitlines() if " convolution(" in line]
    assert len(lines) == 2
    assert all("dim_labels=b01f_01io->b01f" in line for line in lines)
    handed_over = re.search(r"ynn_fusion\S* = .*conv", compiled)
    if name == "eigen":  # and YNNPACK gets none of them, as it gets the others where XLA has it
        assert all("lhs_dilate=1x2" in line for line in lines)
        assert handed_over is None
    elif "ynn" in compiled:
        assert handed_over


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (
            dict(correlate="winogrand"),
            {},
            "correlate is 'winogrand': expected one of .*winograd, eigen, direct",
        ),
        (dict(kernel_gradient="phases"), {}, "formulation of kernel_gradient is 'phases': expected"),
        (
            dict(correlate="winograd"),
            {"dilation": 2},
            "'winograd' of correlate needs one group, a kernel of 3 .* dilation=2",
        ),
        (dict(input_gradient="phases"), {"dilation": 2}, "'phases' of input_gradient needs one group and dilation 1"),
        (dict(kernel_gradient="patches"), {"groups": 2}, "'patches' of kernel_gradient needs one group.* groups=2"),
        (dict(correlate="depthwise"), {"groups": 2}, "'depthwise' of correlate needs one channel per group"),
        (dict(correlate="separate"), {}, "'separate' of correlate needs more than one group"),
        (dict(correlate="one_tap"), {}, "'one_tap' of correlate needs one group and a 1×1 kernel"),
    ],
)
def test_a_formulation_that_does_not_apply_is_refused(names, settings, message):
    x, w = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4 // settings.get("groups", 1), 4))
    with pytest.raises(ValueError, match=message):
        conv2d_as(**names)(x, w, **settings)

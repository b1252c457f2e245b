"""What rounding on the way does, how much is added up, and in which digits: measured and counted in programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from convnet.gradcheck.comparison import common_factor, compare
from convnet.gradcheck.rounding import UFUNCS, intermediate_noise
from convnet.gradcheck.terms import computes_in, open_ended, summed_terms


def program(f, *args):
    return jax.jit(f).trace(*args).jaxpr


def noise(f, *args, probes=200):
    return intermediate_noise(program(f, *args), args, probes=probes, rng=np.random.default_rng(0))


# --- rounding on the way ----------------------------------------------------------------------------------------------


def test_a_product_is_wiggled_once_and_moves_by_its_own_size(x64):
    x, y = np.array([3.0, -0.5]), np.array([2.0, 4.0])
    (found,) = noise(lambda x, y: x * y, x, y)
    np.testing.assert_allclose(found, np.abs(x * y), rtol=0.2)


def test_terms_that_cancel_are_known_as_well_as_each_of_them(x64):
    """(1 + x) − 1: the sum is wiggled, and what is left of it is not smaller than that."""
    (found,) = noise(lambda x: (1 + x) - 1, np.array([1e-9]))
    assert found[0] == pytest.approx(1.0, rel=0.2)


def test_what_selects_and_moves_numbers_rounds_nothing(x64):
    x = np.random.default_rng(0).normal(size=(3, 4))
    (found,) = noise(lambda x: jnp.max(-x[::-1].T, axis=0)[None], x)
    np.testing.assert_array_equal(found, 0)


def test_the_size_of_a_real_number_is_exact_and_that_of_a_complex_one_a_root(x64):
    x, y = np.array([-3.0, 0.5]), np.array([4.0, 1.2])
    (real,) = noise(jnp.abs, x)
    (complex_,) = noise(jnp.abs, x + 1j * y)
    np.testing.assert_array_equal(real, 0)
    np.testing.assert_allclose(complex_, [5, 1.3], rtol=0.2)


NUMBERS = [0.0, -0.0, 1.0, -2.5, 1 / 3, 1e-30, -1e30, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_what_is_computed_in_numpy_is_what_jax_computes(name, dtype, x64):
    """In every pair of numbers, those that are not finite among them."""
    x, y = (np.asarray(a, dtype).ravel() for a in np.meshgrid(NUMBERS, NUMBERS))
    primitive = getattr(lax, f"{name.removesuffix('_any')}_p")  # add_any: as gradients are added up
    args = [x] if name == "neg" else [x > 0, y > 1] if name in ("and", "or") else [x, y]
    with np.errstate(all="ignore"):
        expected, found = primitive.bind(*args), UFUNCS[name](*args)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "wrapped", [jax.jit, jax.checkpoint, lambda f: jax.vmap(f), lambda f: jax.grad(lambda x: f(x).sum())]
)
def test_programs_within_programs_are_run_operation_by_operation(wrapped, x64):
    x = np.array([0.3, 0.7])
    (found,) = noise(wrapped(lambda x: (1e6 + x) * x), x, probes=50)
    assert (found > 1e5).all()


def test_the_gradient_in_a_bias_before_batch_norm_is_zero_to_the_rounding_of_its_terms(x64):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(8, 4)), rng.normal(size=(8, 4))

    def normalised(b):
        y = x + b[None, :]
        centred = y - y.mean(axis=0, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(axis=0, keepdims=True) + 1e-5)

    def gradient(b):
        return jax.vjp(normalised, b)[1](g)[0]

    b = rng.normal(size=4)
    (found,) = noise(gradient, b)
    computed = np.abs(jax.jit(gradient)(b))
    assert (computed < 1e-14).all()
    assert (found > 0.1).all()  # in units of 2⁻⁵³, say: what is computed of 0 is below a few of these
    assert (computed < 8 * 2.0**-53 * found).all()


def test_a_scan_is_wiggled_in_every_round_and_what_it_carries_hands_the_wiggles_on(x64):
    def centred(x):
        return lax.scan(lambda y, _: (4.0 * (y - 1.0) + 1.0, None), x, None, length=10)[0]

    (found,) = noise(centred, np.array(1.0))  # 1 every time, and a rounding of it is four times as large in the next
    np.testing.assert_allclose(found, np.sqrt(sum(16.0**k for k in range(10))), rtol=0.1)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_rounds_of_a_scan_are_run_in_its_order(reverse, x64):
    """1, then four times 0: forward the 1 is doubled four times, backward it comes last."""
    xs = np.array([1.0, 0, 0, 0, 0])

    def f(xs):
        return lax.scan(lambda c, x: (2 * c + x, c), 0.0, xs, reverse=reverse)

    (last, before), moved = f(xs), noise(f, xs)
    assert last == (1 if reverse else 16)
    np.testing.assert_allclose(moved[0], 1.0 if reverse else 16 * np.sqrt(8), rtol=0.5)
    np.testing.assert_array_equal(moved[1] > 0, np.asarray(before) > 0)


def test_of_branches_the_one_that_is_taken_is_wiggled(x64):
    def f(x):
        return lax.cond(x > 0, lambda x: (1e6 + x) - 1e6, lambda x: x, x)

    assert noise(f, np.array(1.0))[0] > 1e5
    assert noise(f, np.array(-1.0))[0] == 0


def test_constants_are_wiggled_where_the_dtype_cannot_hold_them(x64):
    def in_bfloat16(f, x):
        rng = np.random.default_rng(0)
        return intermediate_noise(program(f, x), (x,), probes=50, rng=rng, step=2.0**-8)[0]

    x = np.array(3.0)
    np.testing.assert_allclose(in_bfloat16(lambda x: jnp.maximum(0.5, x * 0 + 0.07), x), 0)
    held = in_bfloat16(lambda x: jnp.minimum(0.5, x), x)
    rounded = in_bfloat16(lambda x: jnp.minimum(0.07, x), x)
    assert held == 0
    np.testing.assert_allclose(rounded, 0.07, rtol=0.3)
    assert noise(lambda x: jnp.minimum(0.07, x), x)[0] == 0


def test_two_roundings_of_one_size_never_cancel_in_every_probe(x64):
    """(x + y) + z of ten thousand entries: of random signs, four probes would cancel in some of them."""
    x = np.ones(10_000)
    (found,) = noise(lambda x: (x + 0.0 * x) + 0.0 * x, x, probes=4)
    assert found.min() > 0


def test_where_a_wiggle_leads_to_no_number_nothing_is_known(x64):
    (found,) = noise(lambda x: jnp.arccos(x * 1.0), np.array([1.0, 0.5]))
    assert np.isinf(found[0])
    assert found[1] < 2


def test_a_fourier_transform_rounds_every_entry_by_the_size_of_all(x64):
    """Of a constant all but the first are 0, and what is computed of them is the rounding of what was added up."""
    (found,) = noise(lambda x: jnp.abs(jnp.fft.fft(x)) ** 2 + jnp.fft.fft(x).real, np.ones(64))
    assert (found > 1).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_rounded_in_a_running_sum_or_product_is_part_of_all_that_follow(reverse, x64):
    x = np.array([3.0, -2.9, 0.5, 2.0])
    order = slice(None, None, -1 if reverse else 1)
    sums, products = np.cumsum(x[order])[order], np.cumprod(x[order])[order]
    (found,) = noise(lambda x: lax.cumsum(x, 0, reverse), x)
    np.testing.assert_allclose(found, np.sqrt(np.cumsum(sums[order] ** 2))[order], rtol=0.2)
    (found,) = noise(lambda x: lax.cumprod(x, 0, reverse), x)
    np.testing.assert_allclose(found, np.abs(products) * np.sqrt(np.arange(1, 5))[order], rtol=0.2)


def test_in_few_digits_what_they_make_equal_is_a_tie(x64):
    """1 + 0.001 is 1 in bfloat16, so the first of the three wins; of wiggles any may."""
    one_hot = lambda x: (jnp.argmax(1.0 + x) == jnp.arange(3)) * 1.0  # noqa: E731
    x = np.array([0.0005, 0.0007, 0.001])
    (found,) = intermediate_noise(program(one_hot, x), (x,), probes=1, rng=np.random.default_rng(0), step=2.0**-8)
    assert found[0] > 100
    assert found[2] > 100


def test_infinite_results_are_exact_and_leave_the_others_their_wiggles(x64):
    """A masked softmax: −∞ would be no number if it were moved by a part of itself."""

    def f(x):
        logits = jnp.where(jnp.array([True, True, False]), 1e3 * x, -jnp.inf)
        return jnp.exp(logits - logits.max()) / jnp.exp(logits - logits.max()).sum()

    (found,) = noise(f, np.array([1.0, 1.0, 5.0]))
    assert found[2] == 0
    assert (found[:2] > 100).all()


# --- what is added up -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "shapes", "terms"),
    [
        (lambda x: jax.nn.gelu(x) * 2 + x[::-1], [(50,)], 1),
        (lambda x: x.sum(axis=0), [(30, 4)], 31),
        (lambda x, w: x @ w, [(5, 7), (7, 2)], 8),
        (lambda x: lax.reduce_window(x, 0.0, lax.add, (3, 2), (1, 1), "VALID"), [(9, 9)], 7),
        (lambda x: jnp.cumsum(x, axis=1), [(3, 11)], 12),
        (lambda x: lax.scan(lambda c, y: (c + y, c), 0.0, x)[1], [(6,)], 7),
        (lambda x: jnp.mean(x) + jnp.mean(x**2), [(10,)], 21),
    ],
)
def test_terms_are_counted(f, shapes, terms, x64):
    assert summed_terms(program(f, *(np.ones(shape) for shape in shapes))) == terms


def test_what_is_not_known_counts_as_large_as_its_arrays(x64):
    assert summed_terms(program(jnp.linalg.cholesky, np.eye(6))) > 36


def test_the_narrowest_dtype_on_the_way_is_found_inside_programs_too(x64):
    x = np.ones(3)
    assert computes_in(program(jnp.sin, x)) == "float64"
    assert computes_in(program(jax.jit(lambda x: x.astype(jnp.float32).astype(x.dtype)), x)) == "float32"
    assert computes_in(program(lambda x: x.astype(jnp.float32).astype(jnp.bfloat16).sum() + x, x)) == "float32"
    assert computes_in(program(lambda x: lax.map(lambda y: y.astype(jnp.bfloat16), x), x)) == "bfloat16"


def test_loops_that_end_by_numbers_are_told_from_those_that_count(x64):
    x = np.array(2.0)
    assert open_ended(program(lambda x: lax.while_loop(lambda y: y > 1e-3, lambda y: y / 2, x), x))
    assert not open_ended(program(lambda x: lax.fori_loop(0, 5, lambda i, y: y / 2, x), x))


# --- all entries together ---------------------------------------------------------------------------------------------


def compared(actual, expected, bound=16.0, **options):
    return compare("stage", "name", ["x"], [actual], [expected], [np.abs(expected)], bound, "bfloat16", **options)


def test_a_factor_common_to_many_entries_is_no_rounding():
    """5 % is 13 ulps of bfloat16, which a single entry may be off by."""
    expected = np.random.default_rng(0).normal(size=400)
    check = compared(1.05 * expected, expected)
    assert check.status == "failed"
    assert check.worst == "x is 1.05 times what is expected, on average"
    assert compared(1.05 * expected[:9], expected[:9]).status == "passed"
    either_way = expected * (1 + 0.05 * np.where(np.arange(400) % 2, 1, -1))
    assert compared(either_way, expected).status == "passed"


def test_the_common_factor_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    expected, scale = rng.normal(size=100), rng.uniform(1, 3, 100)
    actual = 1.25 * expected + 1e-3 * rng.normal(size=100)
    scale = np.maximum(scale, np.abs(expected))
    factor, _ = common_factor(actual, expected, scale, 2.0**-53, 16.0)
    assert factor == pytest.approx(np.polyfit(expected / scale, (actual - expected) / scale, 1)[0], abs=1e-3)


def test_what_is_expected_and_not_finite_says_nothing():
    expected = np.array([np.nan, 2.0, -np.inf])
    check = compared(np.array([1.0, 2.0, 5.0]), expected)
    assert check.status == "passed"
    assert check.note == "2 of 3 expected entries are not finite"
    assert compared(np.array([1.0, np.nan, 5.0]), expected).status == "failed"
    assert compared(np.array([1.0, 2.0, -np.inf]), expected).status == "failed"
    assert compared(np.array([1.0, 2.0, -np.inf]), expected, excused=[np.isinf(expected)]).status == "passed"
    assert compared(np.ones(2), np.full(2, np.nan)).status == "untested"

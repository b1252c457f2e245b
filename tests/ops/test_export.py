"""Exported programs whose sizes are symbols, against the same ops with numbers in their place, by autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from convnet.ops import AUTO, HAND, Window
from convnet.ops.formulations import MAPS, ON_CPU, Problem, choose

SIZES = {"b": 3, "m": 2, "h": 5, "c": 4, "k": 6}

CONVOLUTIONS = {  # name: (shape of x, shape of w, settings); sizes that are letters are symbols
    "few channels": ("b, 6, 6, 1", "3, 3, 1, 4", {}),
    "many channels": ("b, 8, 8, 32", "3, 3, 32, 32", {}),
    "stride 2": ("b, 8, 8, 32", "3, 3, 32, 32", {"stride": 2}),
    "1x1": ("b, 4, 4, 8", "1, 1, 8, 6", {}),
    "one channel per group": ("b, 5, 4, 3", "3, 3, 1, 6", {"groups": 3}),
    "groups": ("b, 5, 4, 4", "3, 3, 2, 6", {"groups": 2}),
    "2b + 1 images": ("2*b + 1, 6, 5, 3", "3, 2, 3, 4", {"padding": 1}),
    "channels": ("b, 5, 4, c", "3, 3, c, k", {}),
    "rows": ("2, h, 4, 3", "3, 3, 3, 32", {}),
}
SLOW = ("many channels", "stride 2", "groups", "2b + 1 images", "rows")


def draw(rng, *shapes):
    return [rng.normal(size=eval(f"({shape},)", {}, SIZES)).astype(np.float32) for shape in shapes]


def exported(f, *shapes, platforms=("cpu", "cuda", "tpu")):
    scope = export.SymbolicScope()
    types = [jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), "float32") for shape in shapes]
    return export.export(jax.jit(f), platforms=platforms)(*types)


def value_and_gradients(f):
    def run(*args):
        y, pullback = jax.vjp(f, *args)
        return y, pullback(jnp.sin(y))

    return run


def assert_the_same(f, reference, rng, *shapes):
    args = draw(rng, *shapes)
    actual = exported(value_and_gradients(f), *shapes).call(*args)
    expected = jax.jit(value_and_gradients(reference))(*args)
    for one, other in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("x", "w", "settings"),
    [pytest.param(*case, marks=pytest.mark.slow if name in SLOW else ()) for name, case in CONVOLUTIONS.items()],
    ids=CONVOLUTIONS,
)
def test_convolutions(x, w, settings, rng):
    hand, auto = (lambda x, w, ops=ops: ops.conv2d(x, w, **settings) for ops in (HAND, AUTO))
    assert_the_same(hand, auto, rng, x, w)


@pytest.mark.parametrize(
    ("axes", "x", "w"),
    [((0, None), "m, b, 4, 4, 2", "3, 3, 2, 3"), ((None, 0), "b, 4, 4, 2", "m, 3, 3, 2, 3"),
     pytest.param((0, 0), "m, b, 4, 4, 2", "m, 3, 3, 2, 3", marks=pytest.mark.slow)],
    ids=["images", "kernels", "pairs"],
)  # fmt: skip
def test_vmap_of_a_number_of_convolutions_that_is_a_symbol(axes, x, w, rng):
    """The reference maps by a loop of Python, over the numbers."""

    def loop(x, w):
        pick = [
            (lambda i, a=a: a) if axis is None else (lambda i, a=a: a[i]) for a, axis in zip((x, w), axes, strict=True)
        ]
        return jnp.stack([AUTO.conv2d(pick[0](i), pick[1](i)) for i in range(SIZES["m"])])

    assert_the_same(jax.vmap(HAND.conv2d, axes), loop, rng, x, w)


@pytest.mark.parametrize("x", ["b, 5, 7, 2", "2, 5, 7, c"], ids=["N", "C"])
def test_windows_that_overlap_in_images_whose_number_is_a_symbol(x, rng):
    hand, auto = (lambda x, ops=ops: ops.max_pool(x, 3, stride=2, padding="SAME") for ops in (HAND, AUTO))
    assert_the_same(hand, auto, rng, x)


def test_a_mask_of_a_batch_that_is_a_symbol(rng):
    hand, auto = (lambda x, m, ops=ops: ops.logsumexp(x, where=m > -1) for ops in (HAND, AUTO))
    assert_the_same(hand, auto, rng, "b, 4", "b, 4")


def layer(n, c=8, k=8, size=6):
    return Problem(n, c, k, *(Window(size, 3, lo=1, hi=1),) * 2, groups=1)


@pytest.mark.parametrize("name", MAPS)
def test_what_cuts_a_batch_into_chunks_needs_to_know_its_size(name):
    (b,) = export.symbolic_shape("b")
    known, unknown = layer(4), layer(b)
    left_out = {form.name for form in ON_CPU[name] if form.fits(known) and not form.fits(unknown)}
    assert (
        left_out
        == {
            "correlate": {"winograd"},
            "input_gradient": {"col2im"},
            "kernel_gradient": {"winograd", "eigen", "patches", "taps"},
        }[name]
    )
    with pytest.raises(ValueError, match=r"needs .*a batch of known size"):
        choose(name, unknown, sorted(left_out)[0])


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("lengths", [{"c": "c"}, {"k": "c"}, {"size": "c"}], ids=["C", "K", "H and W"])
def test_a_layer_of_unknown_channels_or_rows_is_left_to_the_library(name, lengths):
    (c,) = export.symbolic_shape("c")
    assert choose(name, layer(4, **dict.fromkeys(lengths, c))).name == "direct"
    assert choose(name, layer(4, **dict.fromkeys(lengths, c)), cpu=False).name == "direct"


@pytest.mark.parametrize("ops", [HAND, AUTO], ids=["hand", "auto"])
def test_padding_that_depends_on_a_symbol_is_refused(ops):
    with pytest.raises(ValueError, match=r"^padding is 'SAME': of h rows and stride 2 it is unknown"):
        exported(lambda x, w: ops.conv2d(x, w, stride=2), "b, h, 4, 3", "3, 3, 3, 4")

"""The window arithmetic against counting: each property is compared with the (window, tap, element) it stands for."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence.walk import place
from convnet.ops import ReceptiveField, Window, receptive_field, sum_pool, windows
from convnet.ops.formulations.direct import correlate as correlate_forward
from convnet.ops.window import pair, resolve_padding, same_padding, transposed_windows


def taps(window):
    """bool [output, kernel, size] from the definition: window p reads element h through tap i; windows are counted."""
    end = window.input_dilation * (window.size - 1) + 1 + window.hi
    starts = range(-window.lo, end, window.stride)
    starts = [start for start in starts if start + window.dilation * (window.kernel - 1) < end]
    read = np.zeros((len(starts), window.kernel, window.size), bool)
    for p, start in enumerate(starts):
        for i, h in np.ndindex(window.kernel, window.size):
            read[p, i, h] = start + i * window.dilation == h * window.input_dilation
    return read


def sample():
    """A seeded sample of all small windows of which at least one fits."""
    every = itertools.product(
        range(1, 8), range(1, 5), range(1, 5), range(1, 4), range(1, 4), range(-2, 5), range(-2, 5)
    )
    every = [Window(*settings) for settings in every]
    every = [every[i] for i in np.random.default_rng(0).choice(len(every), 2000, replace=False)]
    return [window for window in every if len(taps(window))]


WINDOWS = sample()


def test_the_sample_is_nasty():
    assert sum(w.remainder > 0 for w in WINDOWS) > 100
    assert sum(np.gcd(w.stride, w.dilation) > 1 for w in WINDOWS) > 100
    assert sum(min(w.lo, w.hi) < 0 for w in WINDOWS) > 100
    assert sum(w.stride > w.span for w in WINDOWS) > 100
    assert sum(w.kernel > w.size for w in WINDOWS) > 100


def test_output_positions_and_real_elements():
    for window in WINDOWS:
        read = taps(window)
        assert window.output == read.shape[0]
        assert window.positions.shape == window.real.shape == read.shape[:2]
        # `real` means inside the image; with a dilated input such a place may still be one of the zeros in between
        length = window.input_dilation * (window.size - 1) + 1
        np.testing.assert_array_equal(window.real, taps(replace(window, size=length, input_dilation=1)).any(2))
        for p, i, h in np.argwhere(read):
            assert window.positions[p, i] == h * window.input_dilation


def test_remainder_is_what_no_window_reaches():
    for window in WINDOWS:
        padded = window.input_dilation * (window.size - 1) + 1 + window.lo + window.hi
        end_of_last = (window.output - 1) * window.stride + window.span
        assert window.remainder == padded - end_of_last
        assert 0 <= window.remainder < window.stride


def test_input_gradient_reads_the_transposed_taps_reversed():
    for window in WINDOWS:
        expected = taps(window).transpose(2, 1, 0)[:, ::-1]
        np.testing.assert_array_equal(taps(window.input_gradient), expected, err_msg=str(window))


def test_kernel_gradient_reads_the_same_taps_with_windows_as_kernel():
    for window in WINDOWS:
        expected = taps(window).transpose(1, 0, 2)
        np.testing.assert_array_equal(taps(window.kernel_gradient), expected, err_msg=str(window))


def test_relatives_of_relatives_lead_back():
    for window in WINDOWS:
        cropped = replace(window, hi=window.hi - window.remainder)  # what is never read is the only thing lost
        assert window.input_gradient.output == window.size
        assert window.kernel_gradient.output == window.kernel
        assert window.input_gradient.input_gradient == cropped
        assert window.kernel_gradient.kernel_gradient == cropped
        assert window.input_gradient.remainder == window.kernel_gradient.remainder == 0


def test_nothing_fits_gives_no_output():
    assert Window(size=3, kernel=4).output == 0
    assert Window(size=3, kernel=2, dilation=3).output == 0
    assert Window(size=3, kernel=1, lo=-2, hi=-1).output == 0


# --- padding ----------------------------------------------------------------------------------------------------------


def test_same_padding_is_the_least_and_puts_the_extra_on_the_high_side():
    for size, span, stride in itertools.product(range(1, 12), range(1, 9), range(1, 6)):
        lo, hi = same_padding(size, span, stride)
        outputs, reference_lo = place(size, span, stride, "SAME")
        assert outputs == -(-size // stride)
        assert Window(size, span, stride, lo=lo, hi=hi).output == outputs
        assert lo == reference_lo
        assert hi - lo in (0, 1)
        if lo + hi:  # one less and a window is lost
            assert Window(size, span, stride, lo=lo, hi=hi - 1).output == outputs - 1


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("VALID", ((0, 0), (0, 0))),
        ("SAME", ((1, 2), (0, 1))),
        (2, ((2, 2), (2, 2))),
        (np.int64(2), ((2, 2), (2, 2))),
        (-1, ((-1, -1), (-1, -1))),
        ((2, 0), ((2, 2), (0, 0))),
        ([2, 0], ((2, 2), (0, 0))),
        (((2, -1), (0, 3)), ((2, -1), (0, 3))),
        ([[2, -1], [0, 3]], ((2, -1), (0, 3))),
    ],
)
def test_padding_forms(padding, expected):
    assert resolve_padding(padding, (7, 6), (4, 3), (1, 2)) == expected


@pytest.mark.parametrize(
    "padding",
    ["same", "FULL", "", None, 1.0, True, (1,), (1, 2, 3), (), ((1, 2),), ((1, 2), 3), ((1, 2), (3,)),
     ((1, 2), (3, 4), (5, 6)), ((1.0, 2), (3, 4)), ("SAME", "SAME")],
)  # fmt: skip
def test_unknown_padding_is_refused(padding):
    with pytest.raises(ValueError, match=r"^padding is .*: expected"):
        windows((5, 5), 3, padding=padding)


@pytest.mark.parametrize("name", ["window", "stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, (1, 0), (1, 2, 3), (1,), 1.5, "2", None, True, (True, 1)])
def test_lengths_below_one_and_of_other_types_are_refused(name, value):
    settings = {"window": 2, "stride": 1, "dilation": 1} | {name: value}
    with pytest.raises(ValueError, match=rf"^{name} is .*: expected an int or a pair of ints of at least 1"):
        windows((9, 9), settings.pop("window"), **settings)


def test_pair():
    assert pair(3, "stride") == (3, 3)
    assert pair((3, 4), "stride") == (3, 4)
    assert pair([3, 4], "stride") == (3, 4)
    assert pair((np.int64(1), 2), "stride") == (1, 2)
    assert all(type(v) is int for v in pair((np.int64(1), 2), "stride"))  # hashable and static everywhere
    assert pair((0, 1), "output_padding", minimum=0) == (0, 1)


@pytest.mark.parametrize(
    ("sizes", "kernel", "settings", "axis"),
    [
        ((4, 9), 5, {}, "no window of 5 rows fits an input of 4 padded by (0, 0)"),
        ((9, 4), 3, {"dilation": 2}, "no window of 5 columns fits an input of 4 padded by (0, 0)"),
        ((4, 4), 3, {"padding": ((-1, -1), (0, 0))}, "no window of 3 rows fits an input of 4 padded by (-1, -1)"),
        ((0, 4), 3, {"padding": 2}, "no window of 3 rows fits an input of 0 padded by (2, 2)"),
    ],
)
def test_empty_output_is_refused(sizes, kernel, settings, axis):
    with pytest.raises(ValueError) as error:  # noqa: PT011 the whole message is compared
        windows(sizes, kernel, **settings)
    assert str(error.value) == f"the output is empty: {axis}"


# --- transposed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["SAME", "VALID", 1, ((0, 1), (2, 0))])
def test_transposed_windows_reach_every_size_that_maps_to_the_output(padding):
    for n, k, s, d in itertools.product(range(1, 5), (3, 4), range(1, 5), (1, 2)):
        reached = set()
        for extra in range(s):
            settings = {"stride": s, "padding": padding, "dilation": d}
            for window in transposed_windows((n, n), k, output_padding=extra, **settings):
                assert window.output == window.input_gradient.size == n
                assert (window.kernel, window.stride, window.dilation) == (k, s, d)
            reached.add(window.size)
        lo_hi = {"VALID": (0, 0), 1: (1, 1)}.get(padding, (2, 0))  # of the columns
        for size in range(1, 30):
            outputs = -(-size // s) if padding == "SAME" else place(size, d * (k - 1) + 1, s, lo_hi)[0]
            assert (outputs == n) == (size in reached)


@pytest.mark.parametrize("extra", [2, (0, 2), (2, 0), 5])
def test_output_padding_reaching_the_stride_is_refused(extra):
    with pytest.raises(ValueError, match=r"^output_padding is .*: expected less than the stride 2"):
        transposed_windows((3, 3), 3, stride=2, padding="SAME", dilation=1, output_padding=extra)


@pytest.mark.parametrize("extra", [-1, (0, -1), 0.0, None, True])
def test_output_padding_that_is_no_length_is_refused(extra):
    with pytest.raises(ValueError, match=r"^output_padding is .*: expected an int or a pair of ints of at least 0"):
        transposed_windows((3, 3), 3, stride=2, padding="SAME", dilation=1, output_padding=extra)


# --- receptive field --------------------------------------------------------------------------------------------------

SAME = {"kernel": 3, "lo": 1, "hi": 1}
STACKS = {
    "nothing": [],
    "one": [SAME],
    "vgg": [SAME, SAME, {"kernel": 2, "stride": 2}, SAME],
    "strides first": [{"kernel": 4, "stride": 3, "lo": 2}, {"kernel": 3, "stride": 2, "lo": 1, "hi": 2}],
    "dilated": [
        {"kernel": 3, "dilation": 2, "lo": 2, "hi": 2},
        {"kernel": 2, "stride": 2, "dilation": 3, "lo": 3},
        {"kernel": 3, "lo": 2},
    ],
    "cropping": [{"kernel": 3, "lo": -1}, {"kernel": 3, "stride": 2, "lo": -2, "hi": 1}],
}


def stack(layers, size):
    result = []
    for layer in layers:
        result.append(Window(size=size, **layer))
        size = result[-1].output
    return result


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_receptive_field_by_following_every_tap_back(layers):
    layers = stack(layers, 40)
    field = receptive_field(layers)
    for p in range(3):
        places = {p}
        for layer in reversed(layers):
            places = {q * layer.stride + i * layer.dilation - layer.lo for q in places for i in range(layer.kernel)}
        assert min(places) == field.start + p * field.jump
        assert max(places) == field.start + p * field.jump + field.size - 1


@pytest.mark.parametrize("name", ["vgg", "strides first", "dilated", "cropping"])
def test_receptive_field_by_perturbing_pixels(name):
    layers = stack(STACKS[name], 40)
    line = Window(size=1, kernel=1)

    def network(x):
        for layer in layers:
            x = correlate_forward(x, jnp.ones((1, layer.kernel, 1, 1)), rows=line, cols=layer, groups=1)
        return x[0, 0, :, 0]

    moved = jax.jit(jax.vmap(network))(np.eye(40, dtype=np.float32)[:, None, None, :, None])  # [pixel, output]
    field = receptive_field(layers)
    for p in range(layers[-1].output):
        seen = np.flatnonzero(moved[:, p])
        start = field.start + p * field.jump
        inside = [h for h in range(start, start + field.size) if 0 <= h < 40]
        assert inside[0] <= seen[0]  # dilation leaves holes, so that the outermost element may be one …
        assert seen[-1] <= inside[-1]
        if start >= 0 and start + field.size <= 40:  # … but never inside the image
            assert (inside[0], inside[-1]) == (seen[0], seen[-1])


def test_receptive_field_of_pooling_gradient():
    """Sum-pooling twice: the gradient of the middle output lives exactly on its receptive field."""
    layers = stack([{"kernel": 3, "stride": 2}, {"kernel": 2, "stride": 1}], 11)

    def middle(x):
        return sum_pool(sum_pool(x, (1, 3), stride=2), (1, 2), stride=1)[0, 0, 2, 0]

    touched = np.flatnonzero(jax.grad(middle)(jnp.ones((1, 1, 11, 1)))[0, 0, :, 0])
    field = receptive_field(layers)
    assert field == ReceptiveField(size=5, jump=2, start=0)
    assert (touched[0], touched[-1]) == (4, 8)

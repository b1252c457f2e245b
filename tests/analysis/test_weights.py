"""Weights come back as the images they act on."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from convnet import models
from convnet.analysis import View, class_means, first_layer_filters, templates
from convnet.analysis.weights import (
    aliased_energy,
    band_energy,
    filter_cosines,
    filter_statistics,
    first_convolution,
    folded_share,
    mean_likeness,
    orientation,
)
from convnet.architectures import Table
from convnet.architectures.layers import Block, Conv, Flatten
from convnet.data import Split

SHAPE = (4, 3, 2)


def variables(name, **settings):
    model = models.build(name, num_classes=5, **settings)
    return model, jax.jit(model.init)(jax.random.key(0), np.zeros((1, *SHAPE), np.float32))


def test_logits_are_inner_products_with_the_templates(rng):
    model, weights = variables("linear")
    images = rng.normal(size=(6, *SHAPE)).astype(np.float32)
    logits = np.array([[np.sum(image * t) for t in templates(weights, SHAPE)] for image in images])
    np.testing.assert_allclose(model.apply(weights, images), logits, atol=1e-5)


def test_templates_refuse_other_models():
    with pytest.raises(ValueError, match=r"layers \['dense1', 'logits'\]: expected those of a linear model"):
        templates(variables("mlp")[1], SHAPE)
    with pytest.raises(ValueError, match=r"linear model on \(9, 9, 1\)"):
        templates(variables("linear")[1], (9, 9, 1))


def test_filters_are_the_kernels_by_falling_norm():
    _, weights = variables("cnn", widths=(6,))
    filters = first_layer_filters(weights)
    kernel = np.asarray(weights["params"]["conv1"]["kernel"])
    norms = [np.linalg.norm(f) for f in filters]
    assert filters.shape == (6, 3, 3, 2)
    assert norms == sorted(norms, reverse=True)
    largest = max(range(6), key=lambda k: np.linalg.norm(kernel[..., k]))
    np.testing.assert_array_equal(filters[0], kernel[..., largest])


@pytest.mark.parametrize("whiten", [True, False], ids=["frozen", "trained"])
def test_filters_of_a_network_that_whitens_are_those_of_its_first_layer(whiten):
    _, weights = variables("airbench", widths=(6,), whiten=whiten)
    kernel = np.asarray(weights["batch_stats" if whiten else "params"]["whiten"]["kernel"])
    filters = first_layer_filters(weights)
    assert filters.shape == (16, 2, 2, 2)
    np.testing.assert_array_equal(np.sort(filters, axis=None), np.sort(kernel, axis=None))


def test_filters_refuse_models_without_convolutions():
    with pytest.raises(ValueError, match="expected a first convolution"):
        first_layer_filters(variables("linear")[1])


def test_class_means(rng):
    images = rng.integers(0, 256, size=(9, *SHAPE), dtype=np.uint8)
    labels = np.array([0, 1, 1, 0, 3, 3, 3, 1, 0], np.int32)
    means = class_means(Split(images, labels), 4)
    for label in (0, 1, 3):
        np.testing.assert_allclose(means[label], images[labels == label].astype(float).mean(0), rtol=1e-6)
    assert np.isnan(means[2]).all()


# --- a first layer's filters in numbers -------------------------------------------------------------------------------


def wave(sides, fy, fx, phase=0.3):
    """A cosine of fy, fx cycles per pixel: [H, W]."""
    rows, columns = np.arange(sides[0])[:, None], np.arange(sides[1])
    return np.cos(2 * np.pi * (fy * rows + fx * columns) + phase)


@pytest.mark.parametrize(
    ("frequency", "band"),
    [
        ((0, 0), 0),
        ((1 / 8, 0), 0),
        ((1 / 8, 1 / 8), 1),
        ((0, 1 / 4), 1),
        ((3 / 8, 0), 2),
        ((1 / 4, 1 / 4), 2),
        ((0, 1 / 2), 2),
    ],
)
def test_a_wave_has_all_its_energy_in_its_band(frequency, band):
    filters = wave((8, 8), *frequency)[None, :, :, None] * np.array([1.0, -2.0])
    np.testing.assert_allclose(band_energy(filters, points=8), [np.eye(3)[band]], atol=1e-12)


@pytest.mark.parametrize(("frequency", "band"), [((0.02, 0.03), 0), ((0.2, 0.1), 1), ((0.1, 0.45), 2)])
def test_a_long_wave_of_any_frequency_has_nearly_all_of_it_there(frequency, band):
    filters = (wave((40, 56), *frequency) * np.hanning(40)[:, None] * np.hanning(56))[None, :, :, None]
    assert band_energy(filters)[0, band] > 0.99


def test_shares_are_those_of_the_energy_of_the_weights(rng):
    """Parseval: over all frequencies |F|² adds up to the squares of the weights, channels and padding included."""
    filters = rng.normal(size=(4, 3, 5, 2))
    found = band_energy(filters, (0.2, 0.3, 0.4), points=7)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for k in range(4):
        energy = np.zeros(4)
        for y, x, c in np.ndindex(7, 7, 2):
            fy, fx = (u / 7 if u < 4 else u / 7 - 1 for u in (y, x))
            angle = [np.exp(-2j * np.pi * (fy * i + fx * j)) for i, j in np.ndindex(3, 5)]
            share = abs(np.dot(angle, filters[k, :, :, c].ravel())) ** 2 / 49
            energy[sum(np.sqrt(fy**2 + fx**2) >= edge for edge in (0.2, 0.3, 0.4))] += share
        np.testing.assert_allclose(energy.sum(), (filters[k] ** 2).sum())
        np.testing.assert_allclose(found[k], energy / energy.sum())


def test_white_noise_spreads_over_bands_as_their_areas(rng):
    found = band_energy(rng.normal(size=(300, 11, 11, 3))).mean(axis=0)
    low, middle = (np.pi * radius**2 for radius in (1 / 6, 1 / 3))
    np.testing.assert_allclose(found, [low, middle - low, 1 - middle], atol=0.005)
    aliased = aliased_energy(rng.normal(size=(300, 11, 11, 3)), (4, 2)).mean()
    np.testing.assert_allclose(aliased, 1 - 1 / 8, atol=0.02)


@pytest.mark.parametrize("frequency", [(1 / 16, 0), (0, 3 / 16), (2 / 16, 2 / 16), (-3 / 16, 1 / 16)])
def test_a_wave_has_one_orientation_whatever_its_direction(frequency):
    filters = wave((16, 16), *frequency)[None, :, :, None] * np.array([1.0, -2.0])
    np.testing.assert_allclose(orientation(filters, points=16), [1], atol=1e-12)


def test_what_is_the_same_in_all_directions_or_in_two_at_right_angles_has_no_orientation():
    crossed = wave((16, 16), 3 / 16, 0) + wave((16, 16), 0, 3 / 16)
    point, laplacian = np.zeros((2, 3, 3))
    point[1, 1], laplacian[1], laplacian[:, 1], laplacian[1, 1] = 1, 1, 1, -4
    np.testing.assert_allclose(orientation(crossed[None, ..., None], points=16), [0], atol=1e-12)
    np.testing.assert_allclose(orientation(np.stack([point, laplacian])[..., None]), [0, 0], atol=1e-12)
    np.testing.assert_array_equal(orientation(np.zeros((1, 3, 3, 1))), [0])


def test_orientation_is_that_of_the_energy_and_does_not_turn_with_the_filter(rng):
    filters = rng.normal(size=(20, 5, 5, 3))
    found = orientation(filters)
    assert ((found > 0) & (found < 1)).all()
    np.testing.assert_allclose(orientation(-3 * filters), found)
    np.testing.assert_allclose(orientation(np.rot90(filters, axes=(1, 2))), found, atol=1e-12)
    sobel = np.outer([1, 2, 1], [1, 0, -1])[None, :, :, None]
    assert orientation(sobel)[0] > found.mean()


def test_finer_sampling_of_a_spectrum_changes_little(rng):
    filters = rng.normal(size=(5, 3, 4, 1))
    np.testing.assert_allclose(band_energy(filters), band_energy(filters, points=512), atol=0.01)


def test_a_stride_folds_the_waves_that_its_map_cannot_have():
    filters = np.stack([wave((16, 16), *f) for f in [(1 / 16, 1 / 16), (3 / 16, 0), (0, 3 / 16), (7 / 16, 0)]])[
        ..., None
    ]
    np.testing.assert_allclose(aliased_energy(filters, 1, points=16), [0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(aliased_energy(filters, 2, points=16), [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(aliased_energy(filters, (4, 1), points=16), [0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(aliased_energy(filters, (1, 4), points=16), [0, 0, 1, 0], atol=1e-12)
    strided = wave((16, 16), 7 / 16, 0)[::2, 0]  # a wave of 7/16 read every 2 pixels is one of 1/8 per step
    np.testing.assert_allclose(strided, wave((8, 1), 1 / 8, 0, -0.3)[:, 0], atol=1e-12)


def test_cosines_are_of_the_weights_as_they_are():
    filters = np.array([[3.0, 4], [6, 8], [-3, -4], [4, -3], [0, 0]]).reshape(5, 1, 2, 1)
    expected = [[1, 1, -1, 0, 0], [1, 1, -1, 0, 0], [-1, -1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(filter_cosines(filters), expected, atol=1e-12)


def view_of_filters(filters, **settings):
    """A network whose first convolution, inside of two blocks, has these filters [K, KH, KW, C]."""
    conv = Conv("conv", len(filters), filters.shape[1:3], **settings)
    table = Table((Block("stem", (Block("first", (conv,)),)), Conv("later", 2), Flatten()))
    model, shape = models.build(table, num_classes=2), (6, 9, filters.shape[3])
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, *shape), np.float32))
    variables["params"]["stem"]["first"]["conv"]["kernel"] = np.moveaxis(filters, 0, -1).astype(np.float32)
    return View.of_module(model, variables, shape)


def test_dead_filters_and_the_nearest_pairs_are_found():
    one, other = np.array([[1.0, 2, 0], [0, 1, 1]]), np.array([[1.0, 2, 0], [0, 1, 0]])
    filters = np.stack([one, -2 * other, 0.02 * one, 0.001 * (other + 0.3), -one + 0.1])[..., None]
    found = filter_statistics(view_of_filters(filters, stride=(1, 3)))
    assert found.layer == "stem/first/conv"
    np.testing.assert_allclose(found.filters, filters, rtol=1e-6)
    np.testing.assert_allclose(found.norms, [np.linalg.norm(f) for f in filters], rtol=1e-6)
    np.testing.assert_array_equal(found.dead, [False, False, False, True, False])
    np.testing.assert_allclose(found.bands, band_energy(found.filters))
    np.testing.assert_allclose(found.aliased, aliased_energy(found.filters, (1, 3)))
    assert found.alike[:2] == (0, 2)
    assert found.alike.cosine == pytest.approx(1)
    assert found.parallel == found.alike
    opposite = filter_statistics(view_of_filters(np.stack([other, one, -0.5 * other, one + other])[..., None]))
    assert opposite.parallel[:2] == (0, 2)
    assert opposite.parallel.cosine == pytest.approx(-1)
    assert opposite.alike[:2] == (1, 3)
    single = filter_statistics(view_of_filters(filters[:1]))
    assert single.alike is None
    assert single.parallel is None


def test_a_layer_of_zeros_is_dead_and_has_no_frequencies():
    found = filter_statistics(view_of_filters(np.zeros((3, 3, 3, 2))))
    assert found.dead.all()
    assert not found.bands.any()
    assert not found.cosines.any()


class Own(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3, name="colours")(x)
        x = nn.Conv(4, (3, 2), name="edges")(nn.relu(x))
        return nn.Dense(2, name="a_last")(nn.Conv(2, (1, 1), name="b_later")(x).reshape(x.shape[0], -1))


def test_a_module_of_ones_own_has_filters_by_its_own_names():
    module = Own()
    variables = jax.jit(module.init)(jax.random.key(0), np.zeros((1, 5, 7, 1), np.float32))
    view = View.of_module(module, variables, (5, 7, 1))
    layer, filters = first_convolution(view)
    assert layer == "edges"
    np.testing.assert_array_equal(filters[1], variables["params"]["edges"]["kernel"][..., 1])
    assert filter_statistics(view).aliased is None


def test_a_frozen_kernel_is_one_of_the_first_convolution():
    model, weights = variables("airbench", widths=(4,))
    layer, filters = first_convolution(View.of_module(model, weights, SHAPE))
    assert layer == "whiten"
    np.testing.assert_array_equal(filters[1], weights["batch_stats"]["whiten"]["kernel"][..., 1])


def test_a_network_without_convolutions_has_no_filters():
    model, weights = variables("mlp", widths=(4,))
    with pytest.raises(ValueError, match="network has layers dense1, dense1_relu, logits: expected a convolution"):
        filter_statistics(View.of_module(model, weights, SHAPE))


@pytest.mark.parametrize(
    ("filters", "settings", "told"),
    [
        (np.zeros((3, 3, 2)), {}, r"filters have shape \[3, 3, 2\]: expected \[K, KH, KW, C\]"),
        (np.full((1, 3, 3, 2), np.nan), {}, "filters hold what is no finite number"),
        (np.ones((1, 3, 5, 2)), {"points": 4}, "points is 4: expected 5 or more"),
        (np.ones((1, 3, 5, 2)), {"bands": (0.3, 0.2)}, "bands is .*: expected rising"),
        (np.ones((1, 3, 5, 2)), {"bands": ()}, "bands is .*: expected rising"),
    ],
)
def test_what_has_no_spectrum_is_refused(filters, settings, told):
    with pytest.raises(ValueError, match=told):
        band_energy(filters, **settings)


@pytest.mark.parametrize(("waves", "stride", "share"), [(4, 2, 0), (16, 2, 1), (2, 4, 0), (10, 4, 1), (16, 1, 0)])
def test_a_wave_is_folded_by_the_strides_that_cannot_carry_it(waves, stride, share):
    """Waves on 36 pixels: steps of 2 carry up to 9 of them, steps of 4 up to 4.5."""
    wave = np.cos(2 * np.pi * waves * np.arange(36) / 36)
    maps = 5 + np.broadcast_to(wave[None, :, None, None], (2, 36, 36, 1))
    assert folded_share(maps, stride) == pytest.approx(share, abs=0.1)


def test_the_folded_share_counts_variation_and_not_the_mean(rng):
    maps = rng.normal(size=(50, 32, 32, 2))
    assert folded_share(maps, 2) == pytest.approx(3 / 4, abs=0.05)  # of white noise, by area
    assert folded_share(maps + 100, 2) == pytest.approx(folded_share(maps, 2))


def test_likeness_is_that_of_the_nearest_filter_whatever_its_sign():
    filters = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]).reshape(3, 1, 2, 1)
    assert mean_likeness(filters) == pytest.approx(np.sqrt(0.5))
    assert mean_likeness(filters[:1]) == 0

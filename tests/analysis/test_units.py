"""What each unit does over a data set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.analysis.units import class_selectivity, unit_statistics
from convnet.architectures.layers import Activation, Conv, Dense, Flatten, Pool
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

TABLE = (
    *(Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1", "max", 2)),
    *(Flatten(), Dense("dense1", 5), Activation("dense1_relu")),
)


def change(name, values):
    """Unit 2 of conv1 never opens."""
    return values - 100 * (np.arange(4) == 2) if name == "params/conv1/bias" else values


BOTH_SHAPES = pytest.mark.parametrize("view", [(5, 7, 1), (8, 6, 3)], indirect=True, ids=str)


@pytest.fixture(scope="module")
def view(request):
    return view_of(TABLE, getattr(request, "param", (5, 7, 1)), change)


@pytest.fixture
def images(view, rng):
    return rng.integers(0, 256, size=(11, *view.image_shape), dtype=np.uint8)


LABELS = np.array([0, 2, 2, 0, 0, 2, 1, 1, 2, 0, 1])


def by_unit(view, images, layer):
    """[N, P, K]."""
    values = np.asarray(view.at(layer, jnp.asarray(images / 255, jnp.float32)))
    return values.reshape(len(values), -1, values.shape[-1])


@BOTH_SHAPES
@pytest.mark.parametrize("layer", ["conv1_relu", "dense1"])
def test_statistics_are_those_of_all_activations(view, images, layer):
    """After a relu, and where there are negative ones."""
    values = by_unit(view, images, layer)
    found = unit_statistics(view, images, layer, bins=6)
    assert found.units.tolist() == list(range(values.shape[-1]))
    for unit in found.units:
        one = values[..., unit].ravel()
        assert found.mean[unit] == pytest.approx(one.mean(dtype=np.float64), rel=1e-5, abs=1e-6)
        assert found.zeros[unit] == np.mean(one == 0)
        assert (found.minimum[unit], found.maximum[unit]) == pytest.approx((one.min(), one.max()), rel=1e-5)
        assert found.dead[unit] == (one.min() == one.max())
        assert found.edges[unit][[0, -1]].tolist() == pytest.approx(
            [one.min(), one.max()] if one.min() < one.max() else [-0.5, 0.5], rel=1e-5
        )
        assert found.counts[unit].sum() == one.size
        # A value may lie within rounding of an edge: off by one between neighbours at most.
        expected, _ = np.histogram(one, found.edges[unit])
        assert np.abs(np.cumsum(found.counts[unit] - expected)).max() <= 1


def test_a_unit_that_never_opens_is_dead(view, images):
    found = unit_statistics(view, images, "conv1_relu", [2, 0])
    np.testing.assert_array_equal(found.dead, [True, False])
    assert found.zeros[0] == 1
    assert found.counts[0].sum() == found.counts[1].sum()


def test_values_on_an_edge_are_counted_as_numpy_counts_them():
    """Powers of two, which no rounding touches: conv1 is the image itself."""
    view = view_of(
        (Conv("conv1", 1, 1, bias=False),),
        (2, 4, 1),
        lambda name, values: np.ones_like(values) if "conv1" in name else values,
    )
    images = np.array([0, 1, 2, 4, 8, 16, 3, 6], np.float32).reshape(1, 2, 4, 1) / 16
    for edges in ([0, 0.25, 0.5, 1], [0.25, 0.375, 0.5], [-1, 0], [0, 1]):
        found = unit_statistics(view, images, "conv1", edges=edges)
        np.testing.assert_array_equal(found.counts[0], np.histogram(images, edges)[0])
        np.testing.assert_array_equal(found.edges, [edges])


def test_edges_for_each_unit(view, images):
    edges = np.array([[0.0, 0.5, 3.0], [0.0, 0.1, 0.2]])
    both = unit_statistics(view, images, "conv1_relu", [0, 1], edges=edges)
    for u in range(2):
        alone = unit_statistics(view, images, "conv1_relu", [0, 1], edges=edges[u])
        np.testing.assert_array_equal(both.counts[u], alone.counts[u])


@BOTH_SHAPES
def test_class_means_and_the_index_are_those_of_all_activations(view, images):
    for layer in ("conv1_relu", "dense1_relu"):
        values = by_unit(view, images, layer).mean(axis=1, dtype=np.float64)
        found = class_selectivity(view, images, LABELS, layer)
        means = np.array([values[label == LABELS].mean(axis=0) for label in range(3)]).T
        np.testing.assert_allclose(found.means, means, rtol=1e-4, atol=1e-6)
        for unit, mean in enumerate(means):
            if mean.max() == 0:
                assert np.isnan(found.index[unit])
                continue
            largest = int(np.argmax(mean))
            others = np.mean([mean[label] for label in range(3) if label != largest])
            assert found.classes[unit] == largest
            assert found.index[unit] == pytest.approx((mean[largest] - others) / (mean[largest] + others), rel=1e-3)


def black_and_white(answer):
    """(view, images, labels): dense1 gives the columns of `answer` [2, units] for a black and a white image."""
    answer = np.asarray(answer, float)
    given = {"params/dense1/bias": answer[0], "params/dense1/kernel": np.tile((answer[1] - answer[0]) / 8, (8, 1))}
    view = view_of(
        (Flatten(), Dense("dense1", answer.shape[1])), (2, 4, 1), lambda name, values: given.get(name, values)
    )
    return view, np.array([np.zeros((2, 4)), np.ones((2, 4)), np.ones((2, 4))], np.float32), np.array([1, 2, 2])


def test_the_index_runs_from_0_to_1_and_is_nan_where_it_means_nothing():
    """Units: only one class, both alike, three times as much, silent, negative. No image is of class 0."""
    view, images, labels = black_and_white([[2, 3, 1, 0, -1], [0, 3, 3, 0, 2]])
    found = class_selectivity(view, images, labels, "dense1")
    np.testing.assert_allclose(found.index, [1, 0, 0.5, np.nan, np.nan], atol=1e-6)
    np.testing.assert_array_equal(found.classes[[0, 2, 4]], [1, 2, 2])
    np.testing.assert_allclose(found.means[:, 1:], [[2, 0], [3, 3], [1, 3], [0, 0], [-1, 2]], atol=1e-6)
    assert np.isnan(found.means[:, 0]).all()


def test_of_a_single_class_there_is_no_index(view, images):
    found = class_selectivity(view, images, np.ones(11, int), "conv1_relu")
    assert np.isnan(found.index).all()
    np.testing.assert_array_equal(found.classes, [1, 1, 1, 1])


def test_a_network_that_has_diverged_gives_nan_and_no_error(view, images):
    lost = view.with_variables(jax.tree.map(lambda leaf: leaf * jnp.nan, view.variables))
    found = class_selectivity(lost, images, LABELS, "conv1_relu")
    assert np.isnan(found.index).all()
    assert np.isnan(unit_statistics(lost, images, "conv1_relu", bins=6).mean).all()


def test_little_memory_changes_nothing(view, images):
    done = []
    whole, parts = (unit_statistics(view, images, "conv1_relu", bins=4, memory=m) for m in (2**28, 30_000))
    np.testing.assert_array_equal(whole.zeros, parts.zeros)
    np.testing.assert_allclose(whole.mean, parts.mean, rtol=1e-5)
    assert np.abs(np.cumsum(whole.counts - parts.counts, axis=1)).max() <= 1
    classes = [
        class_selectivity(view, images, LABELS, "conv1_relu", memory=m, on_progress=done.append).means
        for m in (2**28, 30_000)
    ]
    np.testing.assert_allclose(*classes, rtol=1e-5)
    assert len(done) > 2
    assert sum(done) == 22


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda v, x: unit_statistics(v, x, "conv9"), "layer is 'conv9'"),
        (lambda v, x: unit_statistics(v, x, "conv1", [4]), "units of conv1 hold 4"),
        (lambda v, x: unit_statistics(v, x, "conv1", bins=0), "bins is 0: expected 1 or more"),
        (lambda v, x: unit_statistics(v, x, "conv1", edges=[0]), r"edges have shape \[1\]"),
        (lambda v, x: unit_statistics(v, x, "conv1", edges=np.zeros((2, 3))), r"expected \[bins \+ 1\] or \[4, bins"),
        (lambda v, x: unit_statistics(v, x, "conv1", edges=[0, 1, 1]), "edges do not rise"),
        (lambda v, x: unit_statistics(v, x, "conv1", edges=[0, np.nan]), "edges do not rise"),
        (lambda v, x: unit_statistics(v, x.astype(float), "conv1"), "expected floats from 0 to 1"),
        (lambda v, x: class_selectivity(v, x, LABELS[1:], "conv1"), "expected 11 whole numbers"),
        (lambda v, x: class_selectivity(v, x, LABELS + 1, "conv1"), "expected classes from 0 to 2"),
        (lambda v, x: class_selectivity(v, x, LABELS, "no"), "layer is 'no'"),
    ],
)
def test_what_there_is_not_is_refused(view, images, call, told):
    with pytest.raises(ValueError, match=told):
        call(view, images)


def test_other_weights_and_images_compile_nothing(view, images):
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))

    def both(network, pixels):
        unit_statistics(network, pixels, "conv1_relu", bins=6)
        class_selectivity(network, pixels, LABELS, "conv1_relu")

    both(view, images)
    with compilations() as found:
        both(other, images[::-1])
    assert found == []

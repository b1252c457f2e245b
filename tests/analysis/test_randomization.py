"""Weights drawn anew, and how alike explanations stay."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from convnet import models
from convnet.analysis import View, saliency
from convnet.analysis.randomization import cascade, randomized, similarity, weighted_layers
from convnet.architectures import CNN, Linear, ResNet
from tests.analysis.compilations import compilations
from tests.compiling import quick_compilation

SHAPE = (5, 7, 1)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with quick_compilation():
        yield


def view_of(model, shape=SHAPE, seed=0):
    network = models.build(model, num_classes=3)
    return View.of_module(network, jax.jit(network.init)(jax.random.key(seed), jnp.zeros((1, *shape))), shape)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(3,), head_width=4))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(6, *SHAPE)).astype(np.float32)


def kernels(view):
    return {
        n.removeprefix("params/"): np.asarray(v) for n, v in models.flatten(view.variables).items() if "kernel" in n
    }


# --- how alike --------------------------------------------------------------------------------------------------------


def test_a_map_is_like_itself(rng):
    maps = rng.normal(size=(4, 5, 7))
    for values in similarity(maps, maps):
        np.testing.assert_allclose(values, 1)


def test_ranks_are_scipys_and_magnitudes_forget_the_sign(rng):
    one, other = rng.normal(size=(2, 4, 5, 7)).round(1)  # with ties
    found = similarity(one, other)
    for i in range(4):
        assert found.signed[i] == pytest.approx(spearmanr(one[i], other[i], axis=None).statistic)
        assert found.absolute[i] == pytest.approx(spearmanr(abs(one[i]), abs(other[i]), axis=None).statistic)
    turned = similarity(one, -one)
    np.testing.assert_allclose(turned.signed, -1)
    np.testing.assert_allclose(turned.absolute, 1)
    np.testing.assert_allclose(turned.ssim, 1)


def test_scale_does_not_matter_and_independent_maps_are_not_alike(rng):
    one, other = rng.normal(size=(2, 40, 28, 28))
    for values in similarity(one, 300 * one):
        np.testing.assert_allclose(values, 1)
    for values in similarity(one, other):
        assert abs(values.mean()) < 0.05


def test_constant_maps_are_alike_only_to_each_other():
    flat, slope = np.zeros((1, 5, 7)), np.arange(35.0).reshape(1, 5, 7)
    assert similarity(flat, flat).signed == 1
    assert similarity(flat, slope).signed == 0
    assert similarity(slope, flat).absolute == 0


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (np.zeros((1, 5, 7)), np.zeros((1, 7, 5)), r"shapes \[1, 5, 7\] and \[1, 7, 5\]"),
        (np.zeros((1, 2, 7)), np.zeros((1, 2, 7)), "3 or more pixels"),
        (np.full((1, 5, 7), np.nan), np.zeros((1, 5, 7)), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(one, other, told):
    with pytest.raises(ValueError, match=told):
        similarity(one, other)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_layers_with_weights_come_in_the_order_of_the_network(cnn):
    assert weighted_layers(cnn) == ("conv1", "dense1", "logits")
    nested = weighted_layers(view_of(ResNet("resnet8", width=0.125)))
    assert nested[:2] == ("conv1", "conv1_norm")
    assert nested.index("stage1/block1/conv1") < nested.index("stage1/block1/conv2") < nested.index("logits")


def test_only_the_named_layers_are_drawn_anew(cnn):
    before, after = kernels(cnn), kernels(randomized(cnn, ["dense1"], key=1))
    np.testing.assert_array_equal(before["conv1/kernel"], after["conv1/kernel"])
    np.testing.assert_array_equal(before["logits/kernel"], after["logits/kernel"])
    assert abs(np.corrcoef(before["dense1/kernel"].ravel(), after["dense1/kernel"].ravel())[0, 1]) < 0.3
    deviations = [kernel["dense1/kernel"].std() for kernel in (before, after)]
    assert deviations[0] == pytest.approx(deviations[1], rel=0.25)  # by the same initialiser


def test_one_key_gives_one_network(cnn):
    one, two, other = (kernels(randomized(cnn, key=key))["conv1/kernel"] for key in (1, jax.random.key(1), 2))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)


def test_starting_a_network_is_compiled_once_for_all_its_layers():
    view = view_of(CNN(widths=(2, 3), head_width=0))
    randomized(view, ["conv1"], key=1)
    with compilations() as compiled:
        for layer in weighted_layers(view):
            randomized(view, [layer], key=np.int64(2))
    assert not compiled


def test_running_statistics_stay():
    view = view_of(ResNet("resnet8", width=0.125))
    found = models.flatten(randomized(view, key=3).variables)
    for name, values in models.flatten(view.variables).items():
        if name.startswith("batch_stats/"):
            np.testing.assert_array_equal(found[name], values)


def test_a_layer_without_weights_is_named(cnn):
    with pytest.raises(ValueError, match="layer is 'pool1': expected one with weights, conv1, dense1, logits"):
        randomized(cnn, ["pool1"])


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_method_that_does_not_look_at_the_weights_is_found_out(cnn, images):
    """An edge detector, say: it stays as it was whatever the network has learned."""
    steps = cascade(cnn, lambda view: images[..., 0])
    assert [step.layer for step in steps] == ["logits", "dense1", "conv1"]
    for step in steps:
        np.testing.assert_allclose(step.similarity.absolute, 1)


def test_the_gradient_of_a_linear_model_with_independent_weights_is_another(rng):
    shape = (20, 30, 1)
    view, images = view_of(Linear(), shape), rng.uniform(size=(4, *shape)).astype(np.float32)
    (step,) = cascade(view, lambda v: saliency(v, images, [0, 1, 2, 0])[..., 0], key=5)
    assert step.layer == "logits"
    assert np.abs(step.similarity.signed).max() < 0.15  # 4.5 standard errors of ranks of 600 pixels


def test_layer_by_layer_only_one_is_another(cnn, images):
    seen = []

    def explain(view):
        seen.append(kernels(view))
        return saliency(view, images)[..., 0]

    done = []
    cascade(cnn, explain, independent=True, on_progress=done.append)
    trained, *others = seen
    changed = [[n for n in trained if not np.array_equal(trained[n], other[n])] for other in others]
    assert changed == [["logits/kernel"], ["dense1/kernel"], ["conv1/kernel"]]
    assert sum(done) == 3
    seen.clear()
    cascade(cnn, explain)
    assert [len([n for n in trained if not np.array_equal(trained[n], other[n])]) for other in seen[1:]] == [1, 2, 3]


def test_networks_with_other_weights_share_one_program(cnn, images):
    traced = []

    @jax.jit
    def maps(view, images):
        traced.append(1)
        return jax.grad(lambda x: view.logits(x).max())(images)[..., 0]

    cascade(cnn, partial(maps, images=jnp.asarray(images)))
    assert len(traced) == 1

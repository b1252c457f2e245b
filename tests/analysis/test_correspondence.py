"""The correspondence of hidden parts: networks whose signs are known, and any network beside plain loops."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet.analysis.correspondence import correspondence
from convnet.analysis.view import View
from convnet.architectures import CNN
from convnet.config import RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations

SHAPE = (5, 7, 1)


class Pixels(nn.Module):
    """A layer that is the image itself, and its sum, twice, as logits."""

    @nn.compact
    def __call__(self, x):
        x = Same(name="same")(x)
        return jnp.stack([x.sum(axis=(1, 2, 3))] * 2, axis=1)


class Same(nn.Module):
    @nn.compact
    def __call__(self, x):
        return 1.0 * x


@pytest.fixture(scope="module")
def pixels():
    return View.of_module(Pixels(), {}, SHAPE)


@pytest.fixture(scope="module")
def network():
    task = make_task(RunConfig(model=CNN(widths=(3,), head_width=4)), Facts(SHAPE, (100.0,), (50.0,), ("a", "b", "c")))
    return Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), 1)


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SHAPE)).astype(np.float32)


def at(*corners, height=2, width=3):
    return np.array([[top, left, height, width] for top, left in corners])


# --- in closed form ---------------------------------------------------------------------------------------------------


def test_one_part_at_one_place_of_brighter_images_agrees_in_every_sign(pixels):
    """ε is above 0 in the part and 0 elsewhere, in each image."""
    images = np.linspace(0.2, 1, 3 * 35, dtype=np.float32).reshape(3, *SHAPE)
    found = correspondence(pixels, images, at((1, 2), (1, 2), (1, 2)), baseline=0.0, layers=["same"], random=0)
    assert found.part == {"same": 0}
    assert found.random["same"].shape == (0,)


def test_parts_that_lie_apart_differ_in_every_pixel_of_both(pixels):
    """Two parts of 6 pixels: each of the 12 differs in sign, 0 on one side, and both orders of the pair count."""
    images = np.full((2, *SHAPE), 0.5, np.float32)
    found = correspondence(pixels, images, at((0, 0), (3, 4)), baseline=0.0, layers=["same"], random=0)
    assert found.part["same"] == 2 * 12
    assert found.compared["same"] == 2 * 35
    assert found.share("same")[0] == pytest.approx(12 / 35)


def test_parts_that_overlap_differ_where_they_do_not(pixels):
    images = np.full((2, *SHAPE), 0.5, np.float32)
    found = correspondence(pixels, images, at((0, 0), (1, 1)), baseline=1.0, layers=["same"], random=0)
    assert found.part["same"] == 2 * (12 - 2 * 2)


def test_opposite_changes_differ_and_of_n_images_every_ordered_pair_counts(pixels):
    """Of two images that the part darkens and three that it brightens, 2 · 2 · 3 ordered pairs differ."""
    images = np.repeat(np.float32([1, 1, 0, 0, 0]), 35).reshape(5, *SHAPE)
    found = correspondence(pixels, images, at(*[(2, 2)] * 5), baseline=0.5, random=0)
    assert found.part == {"same": 6 * 12, "output": 2 * 12}
    assert found.compared == {"same": 20 * 35, "output": 20 * 2}


def test_random_parts_of_the_whole_image_are_the_whole_image(pixels, images):
    whole = at((0, 0), (0, 0), (0, 0), height=5, width=7)
    found = correspondence(pixels, images, whole, baseline=0.0, random=4)
    np.testing.assert_array_equal(found.random["same"], [found.part["same"]] * 4)


def test_random_parts_lie_anywhere_within_the_image_each_place_as_likely(pixels):
    """Parts of 4 × 6 pixels have 2 × 2 places, so two of them agree with probability ¼, else differ in known ways."""
    images, parts = np.full((2, *SHAPE), 0.5, np.float32), at((0, 0), (0, 0), height=4, width=6)
    found = correspondence(pixels, images, parts, baseline=0.0, layers=["same"], random=400).random["same"] / 2
    shared = {(0, 0): 24, (0, 1): 20, (1, 0): 18, (1, 1): 15}  # pixels in both, by how far they are apart
    for share, pixels_in_both in zip([0.25] * 4, shared.values(), strict=True):
        assert (found == 2 * (24 - pixels_in_both)).mean() == pytest.approx(share, abs=4 * np.sqrt(0.1875 / 400))


# --- of a network -----------------------------------------------------------------------------------------------------


def test_it_is_the_sum_over_pairs_of_a_plain_loop(network, images):
    parts, hidden = at((0, 0), (2, 3), (3, 4)), images.copy()
    for image, (top, left, height, width) in zip(hidden, parts, strict=True):
        image[top : top + height, left : left + width] = 100 / 255
    found = correspondence(network, images, parts, random=0)
    clean, occluded = network.activations(images), network.activations(hidden)
    assert list(found.part) == list(clean)
    for layer, values in clean.items():
        change = np.asarray(values) - np.asarray(occluded[layer])
        signs = np.where(np.abs(change) > 2e-6, np.sign(change), 0)
        pairs = [(signs[i] != signs[j]).sum() for i, j in product(range(3), repeat=2) if i != j]
        assert found.part[layer] == sum(pairs)
        assert found.compared[layer] == 6 * values[0].size


def test_beyond_what_a_layer_sees_of_the_part_nothing_has_changed(network, images):
    """Rounding must not look like a change: a 3×3 convolution sees a hidden pixel at 9 places, so 2 · 9 signs differ at
    most in each of 3 maps."""
    apart = at((1, 1), (3, 5), (1, 5), height=1, width=1)
    found = correspondence(network, images, apart, layers=["conv1"], random=0)
    assert found.part["conv1"] <= 6 * 3 * 2 * 9


def test_one_key_gives_the_same_random_parts_in_any_memory(network, images):
    parts, done = at((0, 0), (2, 3), (3, 4)), []
    first = correspondence(network, images, parts, random=5, key=3)
    again = correspondence(network, images, parts, random=5, key=jax.random.key(3), memory=1, on_progress=done.append)
    other = correspondence(network, images, parts, random=5, key=4)
    for layer in first.random:
        np.testing.assert_array_equal(again.random[layer], first.random[layer])
        assert again.part[layer] == first.part[layer] == other.part[layer]
    assert done == [1] * 6
    assert any((other.random[layer] != first.random[layer]).any() for layer in first.random)


def test_a_second_call_compiles_nothing(network, images):
    parts = at((0, 0), (2, 3), (3, 4))
    correspondence(network, images, parts, random=5)
    other = Trained(network.task, jax.tree.map(jnp.negative, network.variables), 1)
    with compilations() as found:
        correspondence(other, images[::-1], parts[::-1], random=5, key=9)
    assert found == []


@pytest.mark.parametrize(
    ("parts", "settings", "told"),
    [
        (at((0, 0), (0, 0)), {}, r"parts are int64 \[2, 4\]: expected whole numbers \[3, 4\]"),
        (
            at((0, 0), (0, 0), (4, 0)),
            {},
            r"parts hold \[4, 0, 2, 3\]: expected \(top, left, height, width\) within 5 × 7",
        ),
        (at((0, 0), (0, -1), (0, 0)), {}, r"parts hold \[0, -1, 2, 3\]"),
        (at((0, 0), (0, 0), (0, 0), height=0), {}, r"parts hold \[0, 0, 0, 3\]"),
        (at((0, 0), (0, 0), (0, 0)) / 2, {}, r"parts are float64 \[3, 4\]"),
        (at((0, 0), (0, 0), (0, 0)), {"layers": ["conv9"]}, "layers is 'conv9': expected some of conv1"),
        (at((0, 0), (0, 0), (0, 0)), {"random": -1}, "random is -1: expected 0 or more"),
        (at((0, 0), (0, 0), (0, 0)), {"baseline": 2.0}, "baseline holds 2 … 2"),
    ],
)
def test_what_does_not_fit_is_refused(network, images, parts, settings, told):
    with pytest.raises(ValueError, match=told):
        correspondence(network, images, parts, **settings)


def test_one_image_has_nothing_to_be_compared_with(network, images):
    with pytest.raises(ValueError, match="images is 1: expected at least 2"):
        correspondence(network, images[:1], at((0, 0)))


def test_a_view_does_not_know_the_grey_of_its_data(network, images):
    with pytest.raises(ValueError, match="baseline is None: expected values from 0 to 1, as a View"):
        correspondence(View.of(network), images, at((0, 0), (0, 0), (0, 0)))

"""Inverted features: the original where nothing is lost, the solution of the normal equations where the features are
linear, the published objective and descent elsewhere."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.stats import ortho_group

from convnet import models
from convnet.analysis import View
from convnet.analysis.inversion import curvatures, invert
from convnet.architectures import CNN, Linear, Table
from convnet.architectures.layers import (
    Activation,
    BatchNorm,
    Conv,
    Flatten,
    LayerNorm,
    LocalResponseNorm,
    Pool,
)
from tests.analysis.compilations import compilations

SHAPES = [(5, 7, 1), (4, 3, 3)]
NAMES = ["5×7×1", "4×3×3"]
TINY = 1e-9
"""A step so small that the image stays where it started."""


def view_of(model, shape=SHAPES[0], classes=3):
    network = models.build(model, num_classes=classes)
    return View.of_module(network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape))), shape)


def linear_view(kernel, bias, shape):
    """Of the features x @ kernel + bias, as a network with as many classes."""
    view = view_of(Linear(), shape, classes=kernel.shape[1])
    params = {"logits": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}}
    return view.with_variables({"params": params})


@pytest.fixture(scope="module", params=SHAPES, ids=NAMES)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def images(shape):
    return np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(4,), head_width=6))


@pytest.fixture(scope="module")
def greys():
    return np.random.default_rng(1).uniform(size=(3, *SHAPES[0])).astype(np.float32)


# --- the published objective, in loops --------------------------------------------------------------------------------


def variation(image):
    """Σ of the squared differences to the right and downwards."""
    height, width, _ = image.shape
    total = 0.0
    for i in range(height):
        for j in range(width):
            total += np.sum((image[i + 1, j] - image[i, j]) ** 2) if i + 1 < height else 0
            total += np.sum((image[i, j + 1] - image[i, j]) ** 2) if j + 1 < width else 0
    return total


def energy(x, image, features, weight, norm_weight, center=0.5):
    """E of one image in float64; features: from an image to its vector."""
    x, image = np.asarray(x, np.float64), np.asarray(image, np.float64)
    wanted, rms = features(image), np.sqrt(np.mean((image - center) ** 2))
    fidelity = np.sum((features(x) - wanted) ** 2) / np.sum(wanted**2)
    return fidelity + weight * variation(x) / x.size / rms**2 + norm_weight * np.mean(((x - center) / rms) ** 6)


def numerical_gradient(function, x, step=1e-5):
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = np.zeros(x.shape)
        moved[place] = step
        found[place] = (function(x + moved) - function(x - moved)) / (2 * step)
    return found


def linear_problem(rng, shape, features):
    """A kernel, a bias and the matrix of all differences between neighbouring values."""
    size = int(np.prod(shape))
    numbers = np.arange(size).reshape(shape)
    pairs = [*zip(numbers[:-1].ravel(), numbers[1:].ravel(), strict=True)]
    pairs += zip(numbers[:, :-1].ravel(), numbers[:, 1:].ravel(), strict=True)
    differences = np.zeros((len(pairs), size))
    for row, (one, other) in enumerate(pairs):
        differences[row, [one, other]] = -1, 1
    return rng.normal(size=(size, features)) / np.sqrt(size), rng.normal(size=features), differences


# --- what is proven ---------------------------------------------------------------------------------------------------


def test_an_orthonormal_layer_gives_the_image_back(shape, images):
    size = int(np.prod(shape))
    view = linear_view(ortho_group.rvs(size, random_state=0), np.zeros(size), shape)
    found = invert(view, images, "logits", total_variation=(0.0,), norm_weight=0.0, seeds=(0, 1))
    assert found.images.shape == (1, 3, 1, 2, *shape)
    np.testing.assert_allclose(found.images[0, :, 0], np.stack([images, images], axis=1), atol=1e-5)
    np.testing.assert_allclose(found.relative_errors, 0, atol=1e-5)


WEIGHTS = (0.02, 0.2, 2.0, 20.0)


@pytest.fixture(scope="module")
def convex(shape, images):
    """Half as many linear features as values, so that what they leave open is up to the variation: how the images were
    inverted for WEIGHTS, and (images, distance of its features over their norm) of the exact solutions [N, V]."""
    kernel, bias, differences = linear_problem(np.random.default_rng(2), shape, int(np.prod(shape)) // 2)
    view = linear_view(kernel, bias, shape)
    found = invert(view, images, "logits", total_variation=WEIGHTS, norm_weight=0.0, steps=4000)
    exact = np.zeros((len(images), len(WEIGHTS), *shape)), np.zeros((len(images), len(WEIGHTS)))
    for n, v in np.ndindex(exact[1].shape):
        x0 = images[n].astype(np.float64).ravel()
        wanted, rms = x0 @ kernel + bias, np.sqrt(np.mean((x0 - 0.5) ** 2))
        fidelity = kernel @ kernel.T / np.sum(wanted**2)
        smoothness = WEIGHTS[v] / x0.size / rms**2 * differences.T @ differences
        solution = np.linalg.solve(fidelity + smoothness, fidelity @ x0)
        exact[0][n, v] = solution.reshape(shape)
        exact[1][n, v] = np.linalg.norm((solution - x0) @ kernel) / np.linalg.norm(wanted)
    return found, *exact


def test_linear_features_give_the_solution_of_the_normal_equations(convex):
    found, solutions, errors = convex
    np.testing.assert_allclose(found.images[0, :, :, 0], solutions, atol=2e-4)
    np.testing.assert_allclose(found.relative_errors[0, :, :, 0], errors, atol=1e-4)


def test_the_smoother_the_image_is_to_be_the_further_are_its_features(convex):
    found, _, _ = convex
    assert (np.diff(found.feature_errors, axis=2) > 0).all()
    assert (found.feature_errors[:, :, -1] > 0.05).all()


# --- the objective and the descent ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SHAPES, ids=NAMES)
def smooth_view(request):
    """Convolutions and tanh, in float64."""
    shape, model = request.param, CNN(widths=(3,), head_width=0, precision="float64", activation="tanh")
    with jax.enable_x64(True):
        return replace(view_of(model, shape), computes_in="float64")


@jax.jit
def tanh_of(view, image):
    return view.at("conv1_tanh", image[None])


@pytest.mark.parametrize(("weight", "norm_weight"), [(0.0, 0.0), (3.0, 0.0), (0.0, 0.7), (0.3, 0.05)])
def test_the_descent_begins_with_the_objective_and_along_its_gradient(smooth_view, weight, norm_weight):
    view, images = smooth_view, np.random.default_rng(4).uniform(size=(1, *smooth_view.image_shape))
    settings = dict(total_variation=(weight,), norm_weight=norm_weight, steps=1)
    start = invert(view, images, "conv1_tanh", learning_rate=TINY, **settings)
    moved = invert(view, images, "conv1_tanh", learning_rate=0.01, **settings)

    def features(image):
        with view.precision():
            return np.asarray(tanh_of(view, image)).ravel()

    def reference(x):
        return energy(x, images[0], features, weight, norm_weight)

    x = start.images[0, 0, 0, 0]
    np.testing.assert_allclose(start.objectives[0, 0, 0, 0, 0], reference(x), rtol=1e-6)
    gradient, step = numerical_gradient(reference, x), moved.images[0, 0, 0, 0] - x
    rate = -np.sum(step * gradient) / np.sum(gradient**2)
    assert rate > 0
    np.testing.assert_allclose(step, -rate * gradient, atol=1e-5 * np.abs(step).max())


def test_momentum_is_lost_where_the_step_becomes_a_tenth(rng, shape, images):
    kernel, bias, differences = linear_problem(rng, shape, 5)
    view, steps = linear_view(kernel, bias, shape), 8
    settings = dict(total_variation=(0.5,), norm_weight=0.0, steps=steps, momentum=0.8)
    start = invert(view, images[:1], "logits", learning_rate=TINY, **settings).images.ravel()
    found = invert(view, images[:1], "logits", learning_rate=0.5, **settings)

    x0 = images[0].astype(np.float64).ravel()
    rms = np.sqrt(np.mean((x0 - 0.5) ** 2))
    hessian = 2 * kernel @ kernel.T / np.sum((x0 @ kernel + bias) ** 2)
    hessian += 2 * 0.5 / x0.size / rms**2 * differences.T @ differences

    def end(curvature):
        x, velocity, rate = start.astype(np.float64), 0, 0.5 / curvature
        offset = 2 * kernel @ kernel.T @ x0 / np.sum((x0 @ kernel + bias) ** 2)
        for step in range(steps):
            if step in (4, 6):
                rate, velocity = rate / 10, 0
            velocity = 0.8 * velocity + hessian @ x - offset
            x = x - rate * velocity
        return x

    # The curvature is found by so many rounds only, so it is read off: the distance grows with the rate.
    largest = np.linalg.eigvalsh(hessian)[-1]
    misses = [np.abs(end(c) - found.images.ravel()).max() for c in np.linspace(0.8, 1.0, 2001) * largest]
    assert min(misses) < 1e-4
    assert np.abs(end(largest) - start).max() > 100 * min(misses)


def test_curvatures_are_the_largest_eigenvalues_of_the_hessians(rng):
    matrices = rng.normal(size=(4, 10, 10)).astype(np.float32)
    hessians = matrices @ matrices.transpose(0, 2, 1) * np.float32([[[1]], [[10]], [[100]], [[0]]])
    hessians[1] *= -1

    def energies(x):
        x = x.reshape(4, 10)
        return jnp.einsum("bi,bij,bj->b", x, hessians, x) / 2

    x, directions = rng.normal(size=(2, 4, 2, 5, 1)).astype(np.float32)
    found = curvatures(energies, x, directions)
    exact = np.abs(np.linalg.eigvalsh(hessians)).max(axis=1)
    np.testing.assert_allclose(found, exact, rtol=0.1)
    assert (found <= exact * 1.0001).all()


def test_it_starts_as_noise_of_the_images_norm_around_the_centre(images):
    shape = images.shape[1:]
    view = linear_view(np.ones((np.prod(shape), 1)), [0.0], shape)
    images = images * np.float32([[[[1.0]]], [[[0.5]]], [[[0.0]]]])
    settings = dict(total_variation=(0.5,), seeds=(0, 1, 2), steps=1, learning_rate=TINY)
    for center in (0.5, 0.25):
        found = invert(view, images, "logits", center=center, **settings).images[0]
        noise = (found[:, 0] - center) / np.sqrt(np.mean((images - center) ** 2, axis=(1, 2, 3)))[:, *[None] * 4]
        np.testing.assert_allclose(noise, np.broadcast_to(noise[:1], noise.shape), atol=1e-5)
        assert abs(noise[0].mean()) < 0.3
        assert 0.8 < noise[0].std() < 1.2
        assert np.abs(noise[0, 0] - noise[0, 1]).max() > 0.5
    centers = tuple(0.1 + 0.2 * c for c in range(shape[2]))
    found = invert(view, images, "logits", center=centers, **settings).images[0]
    around = (found[:, 0] - centers) / np.sqrt(np.mean((images - centers) ** 2, axis=(1, 2, 3)))[:, *[None] * 4]
    np.testing.assert_allclose(around, noise, atol=1e-5)


# What follows shares its programs: three images, three weights, two starts, twenty steps.
SHARED = dict(seeds=(0, 1), steps=20)


@pytest.mark.parametrize("layer", ["conv1_relu", "pool1", "logits"])
def test_the_objective_falls_whatever_the_layer_and_the_weight(cnn, greys, layer):
    found = invert(cnn, greys, layer, total_variation=(0.0, 5.0, 5000.0), **SHARED)
    assert np.isfinite(found.objectives).all()
    assert (found.objectives[..., -1] < 0.8 * found.objectives[..., 0]).all()


def test_through_normalisation_and_pooling(rng):
    layers = (
        *(Conv("conv1", 4), BatchNorm("batch"), LayerNorm("layer"), Activation("gelu1", "gelu")),
        *(LocalResponseNorm("response"), Pool("max", "max", 3, 2, 1), Pool("avg", "avg", 2, 1), Flatten()),
    )
    view, image = view_of(Table(layers), (5, 8, 3)), rng.uniform(size=(1, 5, 8, 3))
    found = invert(view, image, "avg", total_variation=(0.0,), norm_weight=0.0, steps=60)
    assert found.objectives[0, 0, 0, 0, -1] < 0.1 * found.objectives[0, 0, 0, 0, 0]


def test_a_module_of_ones_own(greys):
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.max_pool(nn.gelu(nn.Conv(4, (3, 3), name="edges")(x)), (2, 2), (2, 2))
            return nn.Dense(3, name="scores")(x.reshape(len(x), -1))

    module = Own()
    view = View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPES[0]))), SHAPES[0])
    found = invert(view, greys, ["edges", "scores"], total_variation=(0.0,), norm_weight=0.0)
    assert (found.relative_errors < 0.05).all()


# --- what comes back --------------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_images_that_come_back(cnn, greys):
    found = invert(cnn, greys, ["conv1_relu", "logits"], **SHARED)
    assert found.layers == ("conv1_relu", "logits")
    assert found.total_variation == (0.5, 5.0, 50.0)
    assert found.objectives.shape == (2, 3, 3, 2, 20)
    for row, layer in enumerate(found.layers):
        wanted = np.asarray(cnn.at(layer, greys)).reshape(3, -1)
        distances = [np.linalg.norm(wanted[i] - wanted[j]) for i in range(3) for j in range(i)]
        np.testing.assert_allclose(found.distances[row], np.mean(distances), rtol=1e-5)
        for n, v, s in np.ndindex(3, 3, 2):
            reached = np.asarray(cnn.at(layer, jnp.asarray(found.images[row, n, v, s])[None])).ravel()
            error = np.linalg.norm(reached - wanted[n])
            np.testing.assert_allclose(found.feature_errors[row, n, v, s], error / np.mean(distances), rtol=1e-4)
            np.testing.assert_allclose(
                found.relative_errors[row, n, v, s], error / np.linalg.norm(wanted[n]), rtol=1e-4
            )


@pytest.mark.parametrize("smooth_view", [SHAPES[0]], ids=[NAMES[0]], indirect=True)
def test_an_inversion_depends_on_its_image_alone_and_not_on_chunks(smooth_view):
    images = np.random.default_rng(5).uniform(size=(3, *smooth_view.image_shape))
    settings, done = dict(layers="conv1_tanh", total_variation=(0.5, 5.0)), []
    together = invert(smooth_view, images, seeds=(3, 4), **settings, steps=20)
    assert np.isfinite(together.feature_errors).all()
    parts = invert(smooth_view, images, seeds=(3, 4), **settings, steps=20, memory=1, on_progress=done.append)
    np.testing.assert_allclose(parts.images, together.images, atol=1e-9)
    assert done == [1] * (3 * 2 * 2)
    alone = invert(smooth_view, images[1:2], layers="conv1_tanh", total_variation=(5.0,), seeds=(4,), steps=20)
    np.testing.assert_allclose(alone.images[:, 0, 0, 0], together.images[:, 1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(alone.relative_errors[:, 0, 0, 0], together.relative_errors[:, 1, 1, 1], atol=1e-9)
    assert np.isnan(alone.distances).all()
    assert np.isnan(alone.feature_errors).all()


def test_the_same_seed_gives_the_same_bits(cnn, greys):
    one, again = (invert(cnn, greys, "pool1", **SHARED).images for _ in range(2))
    np.testing.assert_array_equal(one, again)
    other = invert(cnn, greys, "pool1", seeds=(2, 0), steps=20).images
    np.testing.assert_array_equal(other[..., 1, :, :, :], one[..., 0, :, :, :])
    assert np.abs(other[..., 0, :, :, :] - one[..., 0, :, :, :]).max() > 0.01


def test_uint8_images_are_taken(cnn, greys):
    pixels = np.round(255 * greys).astype(np.uint8)
    found, same = (invert(cnn, images, "pool1", **SHARED).images for images in (pixels, pixels / np.float32(255)))
    np.testing.assert_allclose(found, same, atol=1e-5)


def test_other_numbers_images_and_weights_compile_nothing(cnn, greys):
    invert(cnn, greys, "pool1", **SHARED)
    others = cnn.with_variables(jax.tree.map(lambda leaf: 2 * leaf, cnn.variables))
    with compilations() as compiled:
        invert(
            others, 1 - greys, "pool1", steps=20, seeds=(7, 8), total_variation=(0.0, 1.0, 2.0), norm_weight=0.5,
            learning_rate=0.3, momentum=0.5, center=0.25,
        )  # fmt: skip
    assert compiled == []


# --- what there is little to say of -----------------------------------------------------------------------------------


def test_an_image_that_is_the_centre_all_over(cnn):
    found = invert(cnn, np.full((3, *SHAPES[0]), 0.5, np.float32), "conv1_relu", **SHARED)
    np.testing.assert_allclose(found.images, 0.5, atol=1e-3)


def test_a_layer_that_is_dead(cnn, greys):
    dead = cnn.with_variables(jax.tree.map(lambda leaf: -jnp.ones_like(leaf), cnn.variables))
    assert not np.asarray(dead.at("conv1_relu", greys)).any()
    found = invert(dead, greys, "conv1_relu", **SHARED)
    assert np.isfinite(found.images).all()
    assert np.isnan(found.feature_errors).all()
    free = invert(dead, greys, "conv1_relu", total_variation=(0.0, 0.0, 0.0), norm_weight=0.0, **SHARED)
    np.testing.assert_array_equal(free.objectives, 0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(images=np.zeros((2, 7, 5, 1), np.float32)), r"expected \[N, 5, 7, 1\]"),
        (dict(images=np.full((1, *SHAPES[0]), np.nan, np.float32)), "nan"),
        (dict(layers="conv9"), "layers is 'conv9': expected of conv1, conv1_relu, pool1, dense1, dense1_relu, logits"),
        (dict(layers=()), r"layers is \(\): expected one layer or more"),
        (dict(total_variation=()), r"total_variation is \(\): expected weights, 0 or more"),
        (dict(total_variation=(1.0, -1.0)), r"total_variation is \(1.0, -1.0\)"),
        (dict(total_variation=(np.nan,)), r"total_variation is \(nan,\)"),
        (dict(norm_weight=-0.1), "norm_weight is -0.1: expected 0 or more"),
        (dict(seeds=()), r"seeds is \(\): expected one or more"),
        (dict(steps=0), "steps is 0: expected 1 or more"),
        (dict(learning_rate=0.0), "learning_rate is 0.0: expected a positive number"),
        (dict(momentum=1.0), r"momentum is 1.0: expected a number in \[0, 1\)"),
        (dict(center=(0.1, 0.2)), r"center is \(0.1, 0.2\): expected a number, or one for each of 1 channels"),
        (dict(center=np.inf), "center is inf"),
    ],
)
def test_what_is_refused(cnn, greys, changed, told):
    with pytest.raises(ValueError, match=told):
        invert(cnn, **({"images": greys, "layers": "conv1"} | changed))

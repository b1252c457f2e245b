"""By patches or as a whole, a network says the same of an image with a box changed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models, ops
from convnet.analysis.grid import Grid, inside
from convnet.analysis.incremental import changed_results, plan, reach, surroundings
from convnet.analysis.occlusion import occlusion
from convnet.analysis.view import View
from convnet.architectures import CNN, MLP, ResNet, Table
from convnet.architectures.layers import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    Pool,
)
from convnet.config import DataConfig, RunConfig
from convnet.ops.window import windows
from convnet.task import Facts, make_task
from convnet.trained import Trained

SHAPE = (11, 16, 2)


def view_of(table, shape=SHAPE):
    """With moments and parameters that no layer leaves as they are."""
    model = models.build(table, num_classes=3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape)))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: leaf + rng.uniform(0, 0.2, leaf.shape).astype(leaf.dtype), variables)
    return View.of_module(model, variables, shape)


@pytest.mark.parametrize("settings", [(9, 3, 1), (9, 3, 2), (8, 2, 2), (9, 5, 1, 2), (7, 3, 2, "VALID"), (6, 4, 3, 3)])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_change_reaches_as_many_results_as_read_it_and_no_more(settings, length):
    size, kernel, stride, *padding = settings
    window, _ = windows((size, size), (kernel, kernel), stride=stride, padding=(padding or ["SAME"])[0])
    reads = [{p * stride + i - window.lo for i in range(kernel)} for p in range(window.output)]
    changed = [sum(bool(set(range(at, at + length)) & read) for read in reads) for at in range(size - length + 1)]
    assert max(changed) <= reach(window, length) <= max(changed) + 1


EVERY_KIND = (
    Conv("conv1", 4, (3, 5), padding=((2, 0), (1, 3))),
    BatchNorm("norm1"),
    Activation("conv1_tanh", "tanh"),
    LocalResponseNorm("local", size=3, alpha=0.5),
    Pool("pool1", "avg", (2, 3), (1, 2)),
    Conv("conv2", 6, 3, dilation=(1, 2), groups=2, bias=False),
    LayerNorm("norm2"),
    Dropout(0.5),
    Conv("conv3", 4, 4, stride=(2, 3), padding=2),
    Activation("conv3_relu"),
    Flatten(),
    Dense("dense1", 5),
)
POOLED = (
    Conv("conv1", 3, 3),
    Activation("conv1_relu"),
    Pool("pool1", "max", 3, 2),
    Conv("conv2", 4, 2, stride=2, padding="VALID"),
    Pool("pool2"),
    Conv("top", 4, 1),
    GlobalAvgPool(),
)
STOPPED = (Conv("conv1", 3), Activation("conv1_relu"), GroupNorm("norm", 1), Conv("conv2", 2), GlobalAvgPool())


@pytest.mark.parametrize(
    ("table", "window", "leading", "layers"),
    [
        (EVERY_KIND, (2, 5), 10, ("local", "conv3_relu")),
        (POOLED, (2, 2), 6, (None, "pool1", "top")),
        (POOLED, (3, 1), 6, ("pool2",)),
        (STOPPED, (3, 4), 2, ("norm",)),
    ],
)
def test_wherever_a_box_lies_every_layer_and_the_logits_are_those_of_the_whole(table, window, leading, layers, rng):
    view, patches = view_of(Table(table)), plan(view_of(Table(table)), window)
    assert patches.layers == table[:leading]
    images, base = rng.uniform(size=(2, 2, *SHAPE)).astype(np.float32)
    boxes = jnp.asarray(Grid.over(SHAPE, window).boxes)
    versions = jnp.where(inside(boxes, SHAPE)[:, None], base[None], images[None])

    @jax.jit
    def both(view):
        clean = surroundings(view, patches, images)
        found = [changed_results(view, patches, clean, versions, boxes, layer) for layer in layers]
        return found, view.results(versions.reshape(-1, *SHAPE))

    found, expected = both(view)
    assert np.ptp(expected["logits"], axis=0).max() > 1e-2
    for layer, (logits, maps, right) in zip(layers, found, strict=True):
        assert right
        np.testing.assert_allclose(logits, expected["logits"], rtol=1e-4, atol=1e-5)
        assert (layer is None) == (maps is None)
        if layer is not None:
            np.testing.assert_allclose(maps, expected[layer], rtol=1e-4, atol=1e-5)


def logits_of_each(view, images, grid, value):
    """[GH, GW, N, K]: of images with each window hidden, all at once."""
    hidden = np.repeat(images[None], len(grid.boxes), axis=0)
    for version, (top, left, height, width) in zip(hidden, grid.boxes, strict=True):
        version[:, top : top + height, left : left + width] = value
    logits = jax.jit(View.logits)(view, hidden.reshape(-1, *images.shape[1:]))
    return np.asarray(logits).reshape(*grid.counts, len(images), -1)


def test_a_part_of_the_image_is_seen_where_it_lies(rng):
    facts = Facts((11, 16, 1), (100.0,), (50.0,), ("a", "b", "c"))
    task = make_task(RunConfig(model=CNN(widths=(3,), head_width=0), data=DataConfig(crop=8)), facts)
    network = Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)
    assert plan(View.of(network), (2, 3)).corner == (1, 4)
    images = rng.uniform(size=(1, 11, 16, 1)).astype(np.float32)
    found = occlusion(network, images, [1], window=(2, 3), stride=(2, 3))
    expected = logits_of_each(View.of(network), images, found.grid, 100 / 255)
    np.testing.assert_allclose(found.hidden.logit[0], expected[:, :, 0, 1], atol=1e-5)


def of_mean_0(images):
    return images - images.mean(axis=(1, 2, 3), keepdims=True)


def mirrored(images):
    return images[:, :, ::-1]


def smaller(images):
    return images[:, ::2, ::2]


@pytest.mark.parametrize(
    ("preprocess", "seen"), [(of_mean_0, (12, 16, 2)), (mirrored, (12, 16, 2)), (smaller, (6, 8, 2))]
)
def test_where_the_preprocessing_carries_a_change_out_of_the_box_all_is_computed(preprocess, seen, rng):
    table = Table((Conv("conv1", 4), Activation("conv1_relu"), GlobalAvgPool()))
    view = replace(view_of(table, seen), preprocess=preprocess, image_shape=(12, 16, 2))
    assert (plan(view, (4, 4)) is None) == (preprocess is smaller)
    images = rng.uniform(size=(1, 12, 16, 2)).astype(np.float32)
    found = occlusion(view, images, [1], window=4, stride=4, baseline=0.5)
    expected = logits_of_each(view, images, found.grid, 0.5)
    np.testing.assert_allclose(found.hidden.logit[0], expected[:, :, 0, 1], atol=1e-5)


def test_what_a_replaced_op_computes_is_computed_by_patches_too(rng):
    table = Table((Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1"), GlobalAvgPool()))
    view = view_of(table).replace_ops(max_pool=ops.sum_pool)
    assert plan(view, (2, 2)) is not None
    images = rng.uniform(size=(1, *SHAPE)).astype(np.float32)
    found = occlusion(view, images, [2], window=2, stride=2, baseline=1.0)
    expected = logits_of_each(view, images, found.grid, 1.0)
    np.testing.assert_allclose(found.hidden.logit[0], expected[:, :, 0, 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("table", "shape", "window"),
    [
        (MLP(widths=(4,)), (8, 8, 1), (2, 2)),  # looks at the whole image at once
        (CNN(widths=(2,)), (8, 8, 1), (8, 8)),  # everything changes
        (CNN(widths=(2,), head_width=500), (8, 8, 1), (2, 2)),  # the dense layer is most of the work
        (ResNet("resnet8", width=0.125), (16, 16, 1), (2, 2)),  # residual blocks
        (Table((Conv("conv1", 4, 1, stride=2), GlobalAvgPool())), (8, 8, 1), (2, 2)),  # reads every other pixel
    ],
)
def test_where_it_does_not_pay_or_cannot_be_done_there_is_no_plan(table, shape, window):
    model = models.build(table, num_classes=3)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
    view = View(variables, model, lambda images: images, shape, tuple("abc"))
    assert plan(view, window) is None


def test_pooling_with_padding_is_left_to_the_whole():
    """Around images stands 0, which is no neutral element of a maximum."""
    table = (Conv("conv1", 8), Conv("conv2", 8), Pool("pool1", "max", 3, 2, 1), Conv("conv3", 1), GlobalAvgPool())
    model = models.build(Table(table), num_classes=3)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))
    assert plan(View(variables, model, lambda images: images, SHAPE, tuple("abc")), (2, 2)).layers == table[:2]

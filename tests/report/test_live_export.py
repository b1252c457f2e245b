"""What live.html is written from: the pen that draws like the data, what a network sees, and what no page can hold."""

import base64
import json
import re
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import data
from convnet.analysis import View
from convnet.architectures import CNN, Table
from convnet.architectures.layers import BatchNorm, Conv, Flatten
from convnet.config import DataConfig, RunConfig
from convnet.models import Network
from convnet.ops import relu
from convnet.report.live import write_live_page
from convnet.report.live.pen import Pen
from convnet.report.live.preprocess import Preprocess
from convnet.task import Facts, make_task
from convnet.trained import Trained

SHAPE = (5, 7, 1)


def variables_of(module, shape):
    """Any will do."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return jax.tree.map(lambda leaf: np.linspace(-1, 1, leaf.size, dtype=np.float32).reshape(leaf.shape), shapes)


def view_of(module, shape=SHAPE, **settings):
    return View.of_module(module, variables_of(module, shape), shape, **settings)


def linear(shape=SHAPE, **settings):
    return view_of(Network(architecture=Table((Flatten(),)), num_classes=3), shape, **settings)


def trained(architecture=None, shape=SHAPE, crop=None):
    facts = Facts(shape, (100.0, 50.0, 20.0)[: shape[2]], (50.0, 20.0, 10.0)[: shape[2]], ("a", "b"))
    task = make_task(RunConfig(model=architecture or CNN(widths=(2,)), data=DataConfig("mine", crop=crop)), facts)
    return Trained(task, variables_of(task.model, task.input_shape), 1)


def written(path, network, images=None, labels=()):
    """What the page says of the network."""
    shape = View.of(network).image_shape
    write_live_page(path, network, np.zeros((0, *shape), np.float32) if images is None else images, labels)
    text = re.search(r'<script type="application/json" id="network">(.*?)</script>', path.read_text("utf-8"), re.S)
    return json.loads(text.group(1))


# --- the pen ----------------------------------------------------------------------------------------------------------


def rings(thickness, side=28, count=3, ground=0.0):
    """Circles of a radius of 8 pixels around (15, 13), drawn finely."""
    fine = 8
    rows, columns = (np.indices((side * fine, side * fine)) + 0.5) / fine
    ink = np.abs(np.hypot(rows - 15, columns - 13) - 8) < thickness / 2
    ink = ink.reshape(side, fine, side, fine).mean(axis=(1, 3))
    return np.stack([ground + (1 - 2 * ground) * ink] * count)[..., None]


@pytest.mark.parametrize("thickness", [1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("ground", [0.0, 1.0], ids=["white on black", "black on white"])
def test_a_pen_is_as_thick_as_the_strokes_it_saw(thickness, ground):
    pen = Pen.like(rings(thickness, ground=ground))
    assert pen.thickness == pytest.approx(thickness, rel=0.2)
    assert (pen.ground, pen.ink) == ((ground,), (1 - ground,))


def test_a_pen_draws_as_large_as_the_drawings_and_where_they_are():
    pen = Pen.like(rings(2.0))
    assert pen.box == pytest.approx((18, 18), abs=1)
    assert pen.centre == pytest.approx((15, 13), abs=0.01)


def test_of_digits_it_fills_the_height():
    digits = data.load("digits").test.images[:100] / 255
    pen = Pen.like(digits)
    assert pen.box == (8, 6)
    assert 1 < pen.thickness < 2
    assert pen.centre == pytest.approx((4, 4), abs=0.2)


@pytest.mark.parametrize(
    "images",
    [
        np.random.default_rng(0).uniform(size=(4, 9, 9, 1)),
        np.random.default_rng(0).uniform(size=(4, 9, 9, 3)),
        np.zeros((0, 9, 9, 1)),
        np.zeros((2, 9, 9, 1)),
    ],
    ids=["grey photographs", "photographs", "none", "blank"],
)
def test_of_what_are_no_drawings_it_learns_no_place(images):
    pen = Pen.like(images)
    assert pen.box is None
    assert pen.centre is None
    assert len(pen.ink) == images.shape[3]


# --- what the network sees --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [None, 4])
def test_preprocessing_is_found_by_trying(crop, rng):
    view = View.of(trained(CNN(widths=(2,), head="global_avg"), (7, 6, 3), crop))
    found = Preprocess.of(view)
    assert (found.top, found.left) == ((0, 0) if crop is None else (1, 1))
    images = rng.uniform(size=(2, 7, 6, 3)).astype(np.float32)
    rows, columns = found.scale.shape[:2]
    part = images[:, found.top : found.top + rows, found.left : found.left + columns]
    np.testing.assert_allclose(found.scale * part + found.shift, view.preprocess(images), atol=1e-5)


def test_grey_is_what_the_network_sees_as_zero():
    found = Preprocess.of(View.of(trained(shape=(8, 8, 3))))
    np.testing.assert_allclose(found.grey, np.broadcast_to(np.array([100, 50, 20]) / 255, (8, 8, 3)), atol=1e-6)


@pytest.mark.parametrize(
    "preprocess",
    [lambda x: x**2, lambda x: x[:, ::-1], lambda x: x - x.mean(axis=(1, 2), keepdims=True), lambda x: x[:, ::2]],
    ids=["squared", "turned over", "centred by itself", "every other row"],
)
def test_preprocessing_that_is_more_is_refused(tmp_path, preprocess):
    shape = preprocess(jnp.zeros((1, *SHAPE))).shape[1:]
    view = replace(linear(shape), image_shape=SHAPE, preprocess=preprocess)
    with pytest.raises(ValueError, match=r"preprocess is .*: a live page can only crop, scale and shift pixels"):
        written(tmp_path / "live.html", view)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_page_of_the_comparisons_cnn_is_small(tmp_path):
    """Weights of 76,522 × 4 bytes, as base64; the rest is a tenth of the 3 MB that a page may have."""
    network = trained(CNN(widths=(32,), depth=2), (8, 8, 1))
    found = written(tmp_path / "live.html", network)
    assert found["parameters"] == 75_490  # two classes, not ten
    assert (tmp_path / "live.html").stat().st_size < 4 / 3 * 4 * 76_522 + 300_000


def test_the_same_network_gives_the_same_page(tmp_path):
    network = trained()
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        written(page, network)
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_examples_may_be_bytes_or_floats_and_without_an_axis_for_one_channel(tmp_path, rng):
    pixels = rng.integers(0, 256, (3, 5, 7), np.uint8)
    given = (pixels, pixels[..., None], pixels.astype(np.float32) / 255)
    found = [written(tmp_path / "live.html", linear(), images, [2, 0, 1])["examples"] for images in given]
    assert found[0]["labels"] == [2, 0, 1]
    assert found[1:] == found[:1] * 2


def test_shapes_and_colours_of_results_are_known_before_anything_is_computed(tmp_path):
    layers = written(tmp_path / "live.html", trained())["layers"]
    told = {layer["name"]: (layer["output"], layer["positive"]) for layer in layers if layer.get("name")}
    assert told["conv1"] == ([5, 7, 2], False)
    assert told["conv1_relu"] == ([5, 7, 2], True)
    assert told["pool1"] == ([2, 3, 2], True)
    assert told["logits"] == ([2], False)


def weights_in(path):
    text = re.search(r'id="weights">(.*?)</script>', path.read_text("utf-8"), re.S).group(1)
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_frozen_kernels_are_written_and_a_scale_that_is_not_trained_is_1(tmp_path):
    layers = (Conv("first", 3, 2, frozen=True, bias=False), BatchNorm("norm", use_scale=False), Flatten())
    view = view_of(Network(architecture=Table(layers), num_classes=3))
    found = {layer.get("name"): layer["weights"] for layer in written(tmp_path / "live.html", view)["layers"]
             if "weights" in layer}  # fmt: skip
    values = weights_in(tmp_path / "live.html")

    def kept(layer, name):
        start, size = found[layer][name]
        return values[start : start + size]

    assert found["first"]["bias"] is None
    kernel = view.variables["batch_stats"]["first"]["kernel"]
    np.testing.assert_array_equal(kept("first", "kernel"), kernel.ravel())
    np.testing.assert_array_equal(kept("norm", "scale"), np.ones(3))
    np.testing.assert_array_equal(kept("norm", "var"), view.variables["batch_stats"]["norm"]["var"])


@dataclass(frozen=True)
class Mirror:
    """A layer of one's own."""

    name: str


class Odd(Network):
    def table(self, image_shape):
        return (Mirror("mirror"), *super().table(image_shape))


class OwnModule(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x.reshape(len(x), -1))


def of_odd_layers():
    plain = linear()
    return replace(plain, model=Odd(architecture=Table((Flatten(),)), num_classes=3))


def of_no_logits():
    module = Network(architecture=Table((Conv("conv", 2), Flatten())), num_classes=3)
    return View.of(view_of(module), image_shape=(9, 9, 1))


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (lambda: view_of(OwnModule()), "model is a OwnModule: it has no table of layers"),
        (of_odd_layers, r"layer Mirror\(name='mirror'\) is none of convnet.architectures.layers"),
        (of_no_logits, "network ends in conv: a live page is of one that ends in logits"),
        (lambda: linear().replace_ops(relu=lambda x: relu(x)), r"ops\.relu of the model is one's own"),
        (lambda: linear((5, 7, 4)), "channels is 4: expected 1 or 3"),
    ],
    ids=["no table", "a layer of one's own", "no logits", "an op of one's own", "four channels"],
)
def test_what_a_page_cannot_compute_is_refused_in_a_line_and_nothing_is_written(tmp_path, network, told):
    network = network()
    with pytest.raises(ValueError, match=told) as refused:
        written(tmp_path / "live.html", network)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (np.zeros((2, 7, 5), np.uint8), [0, 0], r"expected \[N, 5, 7, 1\]"),
        (np.zeros((2, 5, 7), np.uint8), [0], "labels are int64"),
        (np.zeros((2, 5, 7), np.uint8), [0, 3], "expected classes from 0 to 2"),
        (np.full((1, 5, 7), np.nan, np.float32), [0], "nan"),
    ],
)
def test_examples_that_are_not_its_images_are_refused(tmp_path, images, labels, told):
    with pytest.raises(ValueError, match=told):
        written(tmp_path / "live.html", linear(), images, labels)
    assert list(tmp_path.iterdir()) == []

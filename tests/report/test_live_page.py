"""live.html in a browser: it computes what JAX does, and can be drawn on, pointed at, and used without a mouse."""

import base64
import io
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from convnet import data
from convnet.analysis import View, occlusion, receptive_field_box, receptive_fields
from convnet.architectures import ResNet, Table
from convnet.architectures.classics import LeNet5
from convnet.architectures.layers import (
    FUNCTIONS,
    Activation,
    BatchNorm,
    Block,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    Pool,
    Residual,
)
from convnet.config import DataConfig, RunConfig
from convnet.models import Network
from convnet.recipes import RECIPES
from convnet.report.live import write_live_page
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.browser import serious_findings, wait_until
from tests.compiling import quick_compilation

pytestmark = pytest.mark.slow


# --- networks ---------------------------------------------------------------------------------------------------------


def some_variables(module, image_shape):
    """Random ones, with statistics and scales that are not those of the start, variances positive."""
    rng = np.random.default_rng(1)

    def some(path, leaf):
        noise = rng.normal(0, 1, leaf.shape).astype(np.float32)
        name = path[-1].key
        if name == "kernel":
            return noise / np.sqrt(noise[..., 0].size).astype(np.float32)
        return {"scale": 1, "bias": 0, "mean": 0, "var": 1}[name] + 0.1 * (np.abs(noise) if name == "var" else noise)

    shapes = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
    return jax.tree_util.tree_map_with_path(some, shapes)


def built(architecture, image_shape, classes=4):
    """An untrained network, as somebody's own program has one."""
    module = Network(architecture=architecture, num_classes=classes)
    return View.of_module(module, some_variables(module, image_shape), image_shape)


def cropped(architecture, image_shape, crop):
    """An untrained network, as a run that crops leaves it."""
    facts = Facts(image_shape, (100.0, 120.0, 80.0), (50.0, 60.0, 40.0), ("a", "b", "c"))
    task = make_task(RunConfig(model=architecture, data=DataConfig(crop=crop)), facts)
    return Trained(task, some_variables(task.model, task.input_shape), 1)


GROUPS = (
    *(Conv("conv1", 6, (3, 2), stride=(2, 1), padding=((2, 1), (0, 1))), Activation("conv1_relu")),
    *(LocalResponseNorm("norm1", size=4, k=1.5, alpha=0.3, beta=0.6), Pool("pool1", "max", 3, 2, 1)),
    *(Conv("conv2", 8, 3, groups=2, dilation=(1, 2)), Activation("conv2_relu"), Pool("pool2", "max", 2, 1)),
    *(Conv("conv3", 9, 1, groups=1, bias=False), Flatten(), Dropout(0.5), Dense("dense1", 7, bias=False)),
)
ALL_ELSE = (
    # A convolution before each function, so that none gets only what another has flattened.
    *(layer for name in FUNCTIONS for layer in (Conv(f"conv_{name}", 4, 3), Activation(name, name))),
    Block("stage", (GroupNorm("groups", groups=2), Residual("same", (LayerNorm("layer"),), (), function="silu"))),
    Pool("mean", "avg", (2, 3), (1, 2), "SAME"),
    Residual(
        "down", (Conv("conv", 6, 3, 2, padding=1), BatchNorm("norm")), (Conv("shortcut", 6, 1, 2, padding=0),), "tanh"
    ),
    *(GlobalAvgPool(), LayerNorm("vector"), GroupNorm("halves", groups=2), Activation("vector_gelu", "gelu")),
)
FROZEN = (
    *(Conv("first", 6, 2, frozen=True), BatchNorm("norm", use_scale=False), Activation("silu", "silu")),
    *(Conv("second", 5, 3, frozen=True, bias=False), Flatten()),
)
OTHERS = {
    "a small ResNet with batch norm": lambda: cropped(ResNet("resnet8", width=0.25), (13, 11, 3), 9),
    "a LeNet": lambda: built(LeNet5(), (20, 25, 1)),
    "groups and local response norm, as in AlexNet": lambda: built(Table(GROUPS), (11, 9, 3)),
    "every other layer and function": lambda: built(Table(ALL_ELSE), (7, 10, 1)),
    "frozen kernels and a norm without a scale": lambda: built(Table(FROZEN), (6, 5, 3)),
}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def network(digits):
    """The CNN of the comparison, trained for as long as it takes to read what is drawn."""
    config = RECIPES["digits"].runs["cnn"]
    config = replace(config, train=replace(config.train, epochs=24))
    trainer = Trainer(config, digits)
    result = trainer.run()
    return Trained(trainer.task, result.variables, result.best_epoch)


@pytest.fixture(scope="module")
def live(network, digits, tmp_path_factory):
    """Its page, with an example of each class."""
    path = tmp_path_factory.mktemp("live") / "live.html"
    rows = [np.flatnonzero(digits.test.labels == label)[0] for label in range(10)]
    write_live_page(path, network, digits.test.images[rows], digits.test.labels[rows])
    return path


# --- what it computes -------------------------------------------------------------------------------------------------

RUN = """async ([pixels, labels]) => {
  const decoded = Uint8Array.from(atob(pixels), (character) => character.charCodeAt(0));
  const images = new Float32Array(decoded.buffer), size = images.length / labels.length;
  const encode = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return btoa(text);
  };
  const found = [];
  for (const [i, label] of labels.entries()) {
    const one = await convnet.run(images.subarray(i * size, (i + 1) * size), label);
    const results = [...one.results].map(([name, values]) => [name, encode(values)]);
    found.push({ logits: encode(one.logits), gradient: encode(one.gradient), results });
  }
  return found;
}"""


def of_browser(page, images, labels):
    """(logits, gradients, results by name) of the page, flat: [N, …]."""

    def decoded(texts):
        return np.stack([np.frombuffer(base64.b64decode(text), np.float32) for text in texts])

    pixels = base64.b64encode(np.asarray(images, np.float32).tobytes()).decode()
    found = page.evaluate(RUN, [pixels, np.asarray(labels).tolist()])
    names = [name for name, _ in found[0]["results"]]
    results = {name: decoded(dict(one["results"])[name] for one in found) for name in names}
    return decoded(one["logits"] for one in found), decoded(one["gradient"] for one in found), results


def of_jax(view, images, labels):
    """The same of JAX; the results as a list, whose order a dict would lose."""

    def found(view, images, labels):
        gradient = jax.grad(lambda x: jnp.take_along_axis(view.logits(x), labels[:, None], axis=1).sum())(images)
        return view.logits(images), gradient, list(view.results(images).values())

    with quick_compilation():
        return jax.jit(found).lower(view, images, labels).compile({})(view, images, labels)


def assert_close(actual, expected, what):
    """Within 1e-5 of the largest magnitude of the expected."""
    expected = np.asarray(expected).reshape(actual.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=what)


def assert_computes_as_jax(page, view, images, labels):
    logits, gradient, results = of_browser(page, images, labels)
    expected_logits, expected_gradient, expected = of_jax(view, images, jnp.asarray(labels))
    assert list(results) == list(view.layers)
    for (name, values), wanted in zip(results.items(), expected, strict=True):
        assert_close(values, wanted, name)
    assert_close(logits, expected_logits, "logits")
    assert_close(gradient, expected_gradient, "gradient")


def test_a_hundred_test_images_go_through_it_as_through_jax(visit, live, network, digits):
    view = View.of(network)
    images = view.images(digits.test.images[:100])
    assert_computes_as_jax(visit(live), view, images, digits.test.labels[:100])


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_go_through_it_as_through_jax(visit, tmp_path, rng, name):
    view = View.of(OTHERS[name]())
    images = rng.uniform(size=(20, *view.image_shape)).astype(np.float32)
    labels = np.arange(20) % len(view.class_names)
    write_live_page(tmp_path / "live.html", view, images[:2], labels[:2])
    page = visit(tmp_path / "live.html")
    assert_computes_as_jax(page, view, images, labels)
    assert_boxes_are_those_of_the_analysis(page, view)


def test_of_equal_pixels_the_first_gets_the_gradient(visit, tmp_path, rng):
    view = built(Table((Pool("pool", "max", 3, 2, 1), Flatten())), (5, 7, 1))
    images = rng.integers(0, 3, (20, 5, 7, 1)).astype(np.float32) / 2
    write_live_page(tmp_path / "live.html", view, images[:1], [0])
    assert_computes_as_jax(visit(tmp_path / "live.html"), view, images, np.arange(20) % 4)


def assert_boxes_are_those_of_the_analysis(page, view):
    """In corners and in the middle of every layer, as far as the boxes lie in what is read of the image."""
    fields, shapes = receptive_fields(view), view.layers
    read = np.ravel(receptive_field_box(fields["logits"], (0, 0)))
    for layer, field in fields.items():
        *sides, _ = shapes[layer]
        for place in {tuple(int(part * (side - 1)) for side in sides) for part in (0, 0.5, 1)}:
            found = page.evaluate("place => convnet.receptiveField(...place)", [layer, *place])
            box = np.clip(np.ravel(receptive_field_box(field, place or (0, 0))), read[[0, 0, 2, 2]], read[[1, 1, 3, 3]])
            assert [found[side] for side in ("top", "bottom", "left", "right")] == box.tolist(), (layer, place)


def test_occlusion_is_that_of_the_analysis(visit, live, network, digits):
    images, labels = digits.test.images[:2], digits.test.labels[:2]
    found = occlusion(network, images, labels)
    page = visit(live)
    for image, label, expected in zip(images, labels, found.grid.per_pixel(found.logit_drop), strict=True):
        asked = "([image, label]) => convnet.occlusion(image, label).then((map) => [...map])"
        actual = page.evaluate(asked, [(image.ravel() / 255).tolist(), int(label)])
        assert_close(np.float32(actual), expected, "occlusion")


REFUSED = """window.Worker = class extends EventTarget {
  constructor() { super(); setTimeout(() => this.onerror(new Event("error")), 50); }
  postMessage() {}
  terminate() {}
}"""


@pytest.mark.parametrize("script", ["delete window.Worker", REFUSED], ids=["none", "refused after a while"])
def test_without_workers_the_page_computes_itself(visit, live, network, digits, script):
    page = visit(live, script=script)
    logits, _, _ = of_browser(page, View.of(network).images(digits.test.images[:2]), digits.test.labels[:2])
    assert_close(logits, network.logits(digits.test.images[:2]), "logits")
    wait_until(page, "convnet.state.occlusion !== null")


# --- drawing ----------------------------------------------------------------------------------------------------------


def scores(page):
    """Label -> what its bar says, when the page has come to rest."""
    wait_until(page, "!convnet.busy()")
    return {
        button.locator(".name").inner_text(): float(button.locator(".value").inner_text().removesuffix(" %"))
        for button in page.locator("#scores button").all()
    }


def said(page):
    found = scores(page)
    return max(found, key=found.get)


def shown(page):
    """The image that the network sees: [H, W, C] in 0 … 1."""
    wait_until(page, "!convnet.busy()")
    height, width, channels = page.evaluate("convnet.network.image_shape")
    return np.array(page.evaluate("[...convnet.state.image]")).reshape(height, width, channels)


def draw(page, *lines, size=1.0):
    """Lines through (x, y) in 0 … 1 of the pad, by mouse; size: less makes them smaller, and puts them in a corner."""
    box = page.locator("#pad").bounding_box()
    for line in lines:
        points = [(box["x"] + size * x * box["width"], box["y"] + size * y * box["height"]) for x, y in line]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=2)
        page.mouse.up()


def circle(x, y, wide, high):
    angles = np.linspace(0, 2 * np.pi, 17)
    return [(x + wide * np.sin(angle), y - high * np.cos(angle)) for angle in angles]


DRAWINGS = {
    "0": [circle(0.5, 0.5, 0.22, 0.32)],
    "1": [[(0.42, 0.25), (0.52, 0.15), (0.5, 0.85)]],
    "7": [[(0.28, 0.2), (0.72, 0.2), (0.45, 0.85)], [(0.35, 0.5), (0.65, 0.5)]],  # crossed, as in this data set
}


@pytest.mark.parametrize("size", [1, 0.5], ids=["large", "small and in a corner"])
@pytest.mark.parametrize("digit", DRAWINGS)
def test_drawn_digits_are_recognised(visit, live, digit, size):
    page = visit(live)
    draw(page, *DRAWINGS[digit], size=size)
    assert said(page) == digit


def test_what_is_drawn_looks_like_the_data(visit, live, digits):
    """About as much ink, from top to bottom."""
    page = visit(live)
    draw(page, *DRAWINGS["0"], size=0.4)
    image, zeros = shown(page)[..., 0], digits.train.images[digits.train.labels == 0] / 255
    assert image.sum() == pytest.approx(np.median(zeros.sum(axis=(1, 2, 3))), rel=0.3)
    assert image[[0, -1]].max(axis=1).min() > 0.3
    assert image.max() > 0.75


def test_where_it_was_drawn_is_where_it_is_seen_if_one_wants(visit, live):
    page = visit(live)
    page.get_by_label("Size and centre it as in training").uncheck()
    draw(page, [(0.0625, 0.1), (0.0625, 0.9)])
    image = shown(page)[..., 0]
    assert image[:, 0].min() > 0.3
    assert image[:, 2:].max() == 0


def test_the_first_stroke_clears_what_nobody_chose_and_no_other(visit, live):
    page = visit(live)
    assert shown(page).any()
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    alone = shown(page)
    page.get_by_role("button", name="Clear").click()
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    np.testing.assert_array_equal(shown(page), alone)
    page.get_by_role("button", name="Test image 9: 8").click()
    chosen = shown(page)
    draw(page, [(0.01, 0.01), (0.02, 0.01)])
    both = shown(page)
    np.testing.assert_array_equal(both[4:], chosen[4:])
    assert both[0, 0, 0] > chosen[0, 0, 0] + 0.5


def test_undo_erase_invert_and_clear(visit, live):
    page = visit(live)
    page.get_by_role("button", name="Test image 4: 3").click()
    example = shown(page)
    draw(page, [(0.1, 0.1), (0.1, 0.9)])
    drawn = shown(page)
    page.get_by_role("button", name="Erase").click()
    draw(page, [(0.1, 0.1), (0.1, 0.9)])
    assert shown(page)[..., 0, 0].max() < 0.2
    page.get_by_role("button", name="Undo").click()
    np.testing.assert_array_equal(shown(page), drawn)
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(shown(page), example)
    page.get_by_role("button", name="Invert").click()
    np.testing.assert_allclose(shown(page), 1 - example, atol=1e-6)
    page.get_by_role("button", name="Clear").click()
    assert not shown(page).any()


def test_undoing_the_stroke_that_goes_on_ends_it(visit, live):
    page = visit(live)
    shown(page)
    page.keyboard.press("Tab")
    for key in (" ", "ArrowDown", "Control+z", "ArrowDown"):
        page.keyboard.press(key)
    assert not shown(page).any()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.keyboard.press("Control+z")
    page.mouse.move(box["x"] + 150, box["y"] + 100)
    page.mouse.up()
    assert not shown(page).any()


def test_erasing_begins_with_what_is_there(visit, live):
    page = visit(live)
    before = shown(page)
    page.get_by_role("button", name="Erase").click()
    draw(page, [(0.5, 0.05), (0.5, 0.95)])
    after = shown(page)
    assert after.any()
    assert after.sum() < before.sum()


FRAMES = """async () => {
  const press = (key) => document.getElementById("pad").dispatchEvent(new KeyboardEvent("keydown", { key }));
  const times = [];
  press(" ");
  for (let i = 0; i < 30; i++) {
    const begun = performance.now();
    press(["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"][i % 4]);
    while (convnet.busy()) await new Promise((go) => setTimeout(go));
    const { compute, paint } = convnet.state.times;
    times.push([compute, paint, performance.now() - begun]);
  }
  return times;
}"""


def test_every_stroke_is_shown_at_once(visit, live):
    """How long that takes is told (pytest -s), not judged."""
    page = visit(live)
    shown(page)
    times = np.array(page.evaluate(FRAMES))
    told = zip(("computed in", "painted in", "from key to picture"), np.median(times, axis=0), strict=True)
    print("A frame:", ", ".join(f"{what} {median:.1f} ms" for what, median in told), "(median of 30)")
    assert (times > 0).all()


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0)), files = new DataTransfer();
  files.items.add(new File([bytes], name));
  const dropped = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
  document.getElementById("pad").dispatchEvent(dropped);
}"""


def drop(page, content, name="picture.png"):
    page.evaluate(DROP, [base64.b64encode(content).decode(), name])


def test_a_picture_is_dropped_on_the_page(visit, live, rng):
    page = visit(live)
    pixels = rng.integers(0, 256, (8, 8), np.uint8)
    drop(page, png(pixels))
    page.locator("#readout", has_text="A picture of 8 × 8 pixels, brought to 8 × 8.").wait_for()
    np.testing.assert_allclose(shown(page)[..., 0], pixels / 255, atol=0.01)


def test_a_large_picture_in_colour_is_brought_to_the_networks_size(visit, live):
    page = visit(live)
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:240, 320:] = (255, 0, 0)
    pixels[240:, :320] = 255
    page.locator("#file").set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": png(pixels)})
    page.locator("#readout", has_text="A picture of 480 × 640 pixels, brought to 8 × 8.").wait_for()
    image = shown(page)[..., 0]
    np.testing.assert_allclose(image[:3, :3], 0, atol=0.01)
    np.testing.assert_allclose(image[:3, 5:], 0.299, atol=0.01)
    np.testing.assert_allclose(image[5:, :3], 1, atol=0.01)


def test_what_is_no_picture_leaves_everything_as_it_is(visit, live):
    page = visit(live)
    before = shown(page)
    drop(page, b"not a picture", "notes.txt")
    page.locator("#readout", has_text="notes.txt is no picture that can be read.").wait_for()
    np.testing.assert_array_equal(shown(page), before)


def test_by_touch(visit, live):
    page = visit(live, width=400, height=800, has_touch=True, is_mobile=True)
    pad = page.locator("#pad").bounding_box()
    page.touchscreen.tap(pad["x"] + pad["width"] / 2, pad["y"] + pad["height"] / 2)
    dot = shown(page)[..., 0]
    assert 0.5 < dot.sum() < 5
    layer = page.locator(".layer canvas").first
    layer.scroll_into_view_if_needed()
    layer.tap(position={"x": 20, "y": 20})
    assert page.locator(".lens .mark").first.is_visible()


# --- pointing ---------------------------------------------------------------------------------------------------------


def layer_canvas(page, name):
    return page.get_by_role("application", name=re.compile(f"^{name}: "))


def framed(page, lens):
    """(top, bottom, left, right) of the pixels that the frame on a picture encloses."""
    canvas, mark = page.locator(f"#{lens}").bounding_box(), page.locator(f"#{lens} + .mark").bounding_box()
    pixel = canvas["width"] / 8
    top, left = (mark["y"] - canvas["y"]) / pixel, (mark["x"] - canvas["x"]) / pixel
    found = np.array([top, top + mark["height"] / pixel - 1, left, left + mark["width"] / pixel - 1])
    np.testing.assert_allclose(found, np.round(found), atol=0.05)
    return tuple(int(side) for side in np.round(found))


def test_pointing_at_a_map_frames_its_receptive_field(visit, live, network, digits):
    page = visit(live)
    page.get_by_role("button", name="Test image 3: 2").click()
    canvas = layer_canvas(page, "pool1")
    canvas.scroll_into_view_if_needed()
    assert page.locator(".mark:visible").count() == 0
    canvas.hover(position={"x": 60 * 2 + 14 * 3 - 5, "y": 14 + 7})  # maps of 4 × 4 are 56 pixels wide, 4 apart
    field = receptive_field_box(receptive_fields(network)["pool1"], (1, 2))
    box = tuple(np.clip(np.ravel(field), 0, 7).tolist())
    assert [framed(page, lens) for lens in ("seen", "gradient", "occlusion")] == [box] * 3
    value = network.activations(digits.test.images[digits.test.labels == 2][:1])["pool1"][0, 1, 2, 2]
    told = page.locator("#readout").inner_text()
    assert told.startswith("pool1, map 2, row 1, column 2: ")
    assert float(told.split(": ")[1].split(". ")[0]) == pytest.approx(float(value), rel=0.01)
    assert told.endswith(f"It sees rows {box[0]}–{box[1]}, columns {box[2]}–{box[3]} of the image.")
    page.mouse.move(5, 5)
    assert page.locator(".mark:visible").count() == 0


def test_pointing_at_the_image_tells_its_numbers(visit, live):
    page = visit(live)
    image = shown(page)
    pixel = page.locator("#seen").bounding_box()["width"] / 8
    page.locator("#seen").hover(position={"x": 3.5 * pixel, "y": 2.5 * pixel})
    assert page.locator("#readout").inner_text().startswith(f"Row 2, column 3: {image[2, 3, 0]:.3g}, gradient ")
    assert framed(page, "gradient") == (2, 2, 3, 3)


def test_pointing_at_a_class_asks_about_it_and_pressing_stays_with_it(visit, live):
    page = visit(live)
    predicted = said(page)
    first, other = (page.locator("#scores button").nth(label) for label in (0, 5))

    def asked():
        wait_until(page, "!convnet.busy()")
        return page.evaluate("convnet.state.frame.label")

    assert asked() == int(predicted)
    other.hover()
    assert asked() == 5
    assert "score (logit) of 5" in page.locator("#lens-words").inner_text()
    page.mouse.move(5, 5)
    assert asked() == int(predicted)
    other.click()
    page.mouse.move(5, 5)
    assert asked() == 5
    assert [first.get_attribute("aria-pressed"), other.get_attribute("aria-pressed")] == ["false", "true"]
    other.click()
    page.mouse.move(5, 5)
    assert asked() == int(predicted)


def test_strokes_that_come_faster_than_frames_end_in_what_is_shown(visit, live):
    page = visit(live)
    draw(page, *DRAWINGS["0"])
    image = shown(page)
    logits = page.evaluate("image => convnet.run(image).then(({ logits }) => [...logits])", image.ravel().tolist())
    assert page.evaluate("[...convnet.state.frame.logits]") == logits


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_by_keys_alone_one_draws_looks_and_asks(visit, live):
    page = visit(live)
    shown(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pad"
    for key in (*["ArrowUp"] * 6, " ", *["ArrowDown"] * 12, " "):
        page.keyboard.press(key)
    assert said(page) == "1"
    page.keyboard.press("Delete")
    assert not shown(page).any()
    canvas = layer_canvas(page, "conv1")
    canvas.focus()
    for key in ("ArrowDown", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.locator("#readout").inner_text().startswith("conv1, map 0, row 3, column 3: ")
    assert page.locator("#status").inner_text() == page.locator("#readout").inner_text()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("#readout").inner_text().startswith("conv1, map 1, row 3, column 0: ")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#readout").inner_text().startswith("conv1, map 2, row 3, column 0: ")
    page.keyboard.press("Escape")
    assert page.locator(".mark:visible").count() == 0


def test_the_tab_key_reaches_everything_and_shows_where_it_is(visit, live):
    page = visit(live)
    wait_until(page, "!convnet.busy()")
    count = page.locator("button:enabled, canvas[tabindex], input:not([hidden])").count()
    seen = []
    for _ in range(count):
        page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        seen.append(page.evaluate("document.activeElement.outerHTML"))
        assert page.evaluate(outline) != "none", seen[-1]
    assert len(set(seen)) == count


def test_scores_are_announced_when_they_rest(visit, live):
    page = visit(live)
    page.evaluate("""() => {
      window.announced = [];
      const status = document.getElementById("status");
      new MutationObserver(() => announced.push(status.textContent)).observe(status, { childList: true });
    }""")
    draw(page, *DRAWINGS["0"])
    wait_until(page, "announced.length > 0")
    assert len(page.evaluate("announced")) == 1
    assert re.fullmatch(r"0, [\d.]+ %", page.evaluate("announced[0]"))


@pytest.mark.parametrize(
    ("dark", "width"),
    [(False, 1400), (True, 1000), (False, 400), (True, 400)],
    ids=["light", "dark and smaller", "light, a phone", "dark, a phone"],
)
def test_nothing_keeps_anybody_from_using_it(visit, live, dark, width):
    page = visit(live, dark=dark, width=width)
    wait_until(page, "!convnet.busy()")
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 64) == dark


def test_who_wants_no_motion_gets_none(visit, live):
    page = visit(live, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('.bar i')).transitionDuration") == "0s"


def test_names_of_classes_are_shown_as_they_are_written(visit, tmp_path):
    names = ("</script><b>bold", "a & b", "</textarea>é")
    view = replace(built(Table((Flatten(),)), (5, 7, 1), classes=3), class_names=names)
    write_live_page(tmp_path / "live.html", view, np.zeros((1, 5, 7), np.uint8), [0])
    page = visit(tmp_path / "live.html")
    assert list(scores(page)) == list(names)


def test_without_examples_it_begins_with_an_empty_pad(visit, tmp_path):
    view = built(Table((Flatten(),)), (5, 7, 3))
    write_live_page(tmp_path / "live.html", view, np.zeros((0, 5, 7, 3), np.uint8), [])
    page = visit(tmp_path / "live.html")
    assert not shown(page).any()
    assert page.get_by_text("Draw here").is_visible()
    page.get_by_label("Colour").fill("#ff0000")
    draw(page, [(0.2, 0.5), (0.8, 0.5)])
    red, green, blue = np.moveaxis(shown(page), -1, 0)
    assert red.max() > 0.9
    assert max(green.max(), blue.max()) == 0

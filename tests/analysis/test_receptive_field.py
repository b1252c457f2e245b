"""What part of the image a unit can see, and what part of that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models, ops
from convnet.analysis import View
from convnet.analysis.receptive_field import (
    effective_deviation,
    effective_receptive_field,
    effective_size,
    field_extent,
    receptive_field_box,
    receptive_fields,
    uniform_deviation,
)
from convnet.architectures import CNN, MLP, AlexNet, LeNet5, ResNet, Table
from convnet.architectures.layers import (
    Activation,
    Block,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    Pool,
    Residual,
)
from convnet.config import DataConfig, RunConfig
from convnet.ops import ReceptiveField
from convnet.task import Facts, make_task
from convnet.trained import Trained

NAMES = ("relu", "tanh", "leaky_relu", "gelu", "silu", "sigmoid")
SUMS = {name: lambda x: x for name in NAMES} | {"max_pool": ops.sum_pool, "local_response_norm": lambda x, **_: x}
"""Ops that hide no path through a network: identities, and sums in the place of maxima."""


def view_of(architecture, image_shape):
    """Of a network of the library with positive weights, so that no two paths cancel."""
    model = models.build(architecture, num_classes=2)
    image = jax.ShapeDtypeStruct((1, *image_shape), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    weights = lambda w: np.linspace(0.05, 0.15, w.size, dtype=w.dtype).reshape(w.shape)  # noqa: E731 (no two alike)
    return View.of_module(model, jax.tree.map(weights, shapes), image_shape)


def supports(view):
    """Layer -> [H', W', H, W]: whether a position (one of its channels) depends on a pixel; a vector is one position.

    By moving every pixel in turn.
    """

    def moved(pixel):
        shape = (1, *view.image_shape)
        at = jnp.broadcast_to(pixel[None, :, :, None], shape)
        return jax.jvp(lambda x: list(view.results(x).values()), (jnp.full(shape, 0.5),), (at,))[1]

    sides = view.image_shape[:2]
    pixels = jnp.eye(sides[0] * sides[1]).reshape(-1, *sides)
    found = jax.jit(jax.vmap(moved))(pixels)
    return {
        name: np.moveaxis(
            np.asarray(slopes)[:, 0].any(axis=-1).reshape(*sides, *(slopes.shape[2:-1] or (1, 1))), (0, 1), (2, 3)
        )
        for name, slopes in zip(view.layers, found, strict=True)
    }


def extent(seen):
    """((first, last) row, (first, last) column) of what is true in [H, W]."""
    return tuple((int(axis.min()), int(axis.max())) for axis in np.nonzero(seen))


def outside_of(box, seen):
    """What is true in [H, W] and not in the box."""
    (top, bottom), (left, right) = box
    found = seen.copy()
    found[top : bottom + 1, left : right + 1] = False
    return found


def within(box, image_shape):
    return tuple((max(first, 0), min(last, side - 1)) for (first, last), side in zip(box, image_shape, strict=False))


ODD = Table(
    (
        Conv("first", 2, (3, 2), stride=(1, 2), padding=((2, 0), (0, 1))),
        Block("block", (Conv("wide", 2, 3, dilation=2), Activation("wide_relu"))),
        Pool("mean", "avg", (2, 3), stride=(2, 1), padding="SAME"),
        LayerNorm("norm"),
        Residual("reaching", (Conv("one", 3, 1),), (Conv("five", 3, (5, 3), padding=((1, 3), (2, 0))),)),
        Conv("last", 2, 2, stride=2),
        Flatten(),
        Dense("dense", 2),
    )
)
GROUPS = Table(
    (
        Conv("first", 2, 3, padding="VALID"),
        Residual("grouped", (GroupNorm("norm", 1), Conv("next", 2, 3))),
        Conv("last", 2, 3),
        GlobalAvgPool(),
    )
)
UNREAD = Table((Conv("coarse", 2, 3, stride=4, padding="VALID"), Conv("next", 2, 1), GlobalAvgPool("mean")))
CASES = {
    "cnn": (CNN(widths=(2, 3), head_width=4), (5, 7, 1)),
    "lenet5": (LeNet5(), (14, 19, 1)),
    "alexnet": (AlexNet(width=0.02, dropout=0.0), (63, 95, 1)),
    "resnet8": (ResNet("resnet8", width=0.125, stem="large"), (23, 30, 1)),
    "mlp": (MLP(widths=(4,)), (5, 7, 1)),
    "odd": (ODD, (11, 17, 2)),
    "unread": (UNREAD, (10, 13, 1)),
}
HOLED = (ODD,)
"""Where dilation leaves holes, of which one may be at the image's border."""


@pytest.mark.parametrize(("architecture", "image_shape"), CASES.values(), ids=CASES)
def test_with_sums_for_maxima_every_position_depends_on_its_field_and_no_pixel_more(architecture, image_shape):
    view = view_of(architecture, image_shape).replace_ops(**SUMS)
    fields = receptive_fields(view)
    assert list(fields) == list(view.layers)
    for layer, seen in supports(view).items():
        for position in np.ndindex(seen.shape[:2]):
            box = receptive_field_box(fields[layer], position)
            inside = within(box, image_shape)
            if architecture not in HOLED or inside == box:
                assert extent(seen[position]) == inside, (layer, position)
            assert not outside_of(inside, seen[position]).any()


def test_where_a_stride_leaves_pixels_over_the_field_is_a_bound():
    """Of 15 columns of conv1 pool1 does not read the last, which pixel 16 alone is seen by: conv2 has padding there."""
    table = Table((Conv("conv1", 2, 3, padding="VALID"), Pool("pool1"), Conv("conv2", 2, 5), GlobalAvgPool()))
    view = view_of(table, (12, 17, 1)).replace_ops(**SUMS)
    box = receptive_field_box(receptive_fields(view)["conv2"], (2, 5))
    assert box == ((0, 11), (6, 17))
    assert extent(supports(view)["conv2"][2, 5]) == ((0, 11), (6, 15))
    assert receptive_fields(view)["global_avg"][1] == ReceptiveField(size=17, jump=0, start=0)


def test_what_is_normalised_over_a_whole_map_sees_it_everywhere():
    view = view_of(GROUPS, (5, 7, 1))
    fields = receptive_fields(view)
    assert fields["first"] == (ReceptiveField(3, 1, 0), ReceptiveField(3, 1, 0))
    whole = (ReceptiveField(5, 0, 0), ReceptiveField(7, 0, 0))
    for layer in ("grouped/norm", "grouped/next", "grouped/sum", "grouped", "last", "global_avg", "logits"):
        assert fields[layer] == whole
    image = np.random.default_rng(0).uniform(size=(1, 5, 7, 1)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: view.at("grouped/norm", x)[0, 0, 0, 0]))(image)
    assert np.asarray(gradient).any(axis=(0, 3)).all()


THIRTEEN = Table((Conv("conv1", 4, padding="VALID"), Pool("pool1", window=3, stride=2),
                  Conv("conv2", 4, padding="VALID"), Pool("pool2", window=3, stride=2), GlobalAvgPool()))  # fmt: skip


def test_with_maxima_the_gradient_reaches_less_than_the_field():
    """Which is why the proof above needs sums: the winners of a maximum need not lie at the field's ends."""
    view = view_of(THIRTEEN, (13, 13, 1))
    rows, columns = receptive_fields(view)["pool2"]
    assert (rows.size, columns.size) == (13, 13)
    assert extent(supports(view.replace_ops(max_pool=ops.sum_pool))["pool2"][0, 0]) == ((0, 12), (0, 12))
    image = jnp.broadcast_to(jnp.linspace(0, 1, 13)[None, :, None, None], (1, 13, 13, 1))
    slopes = jax.jit(jax.grad(lambda x, view: view.at("pool2", x)[0, 0, 0].sum()))(image, view)
    # The last row of each window wins on a ramp: 13 rows less the 2 that pool1 and the 4 that pool2 did not choose.
    assert extent(np.asarray(slopes)[0, ..., 0])[0] == (6, 12)


def test_normalisations_and_activations_keep_the_field_and_a_sum_holds_its_branches():
    fields = receptive_fields(view_of(ResNet("resnet8", width=0.125), (9, 13, 3)))
    assert fields["conv1"] == fields["conv1_norm"] == fields["conv1_relu"]
    block = "stage2/block1"
    assert fields[f"{block}/shortcut"][0].size < fields[f"{block}/conv2"][0].size
    assert fields[f"{block}/sum"] == fields[block] == fields[f"{block}/conv2"]


def test_boxes_of_many_positions_are_those_of_each():
    field = (ReceptiveField(5, 2, -1), ReceptiveField(3, 4, 1))
    rows, columns = np.array([[0, 1], [2, 3]]), np.array([[3, 2], [1, 0]])
    (top, bottom), (left, right) = receptive_field_box(field, (rows, columns))
    for at in np.ndindex(2, 2):
        one = receptive_field_box(field, (int(rows[at]), int(columns[at])))
        assert one == ((top[at], bottom[at]), (left[at], right[at]))
    assert receptive_field_box(field, (1, 2)) == ((1, 5), (9, 11))


def trained(model, crop=None):
    task = make_task(
        RunConfig(model=model, data=DataConfig(crop=crop)), Facts((5, 7, 1), (100.0,), (50.0,), tuple("ab"))
    )
    return Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)


def test_pixels_are_those_of_the_whole_image_where_it_is_cropped(rng):
    view = View.of(trained(CNN(widths=(3,), head_width=0), crop=4))
    fields = receptive_fields(view)
    assert receptive_field_box(fields["conv1"], (0, 0)) == ((-1, 1), (0, 2))
    assert receptive_field_box(fields["logits"], (0, 0)) == ((0, 3), (1, 4))
    effective = effective_receptive_field(view, rng.uniform(size=(3, 5, 7)).astype(np.float32), "logits")
    assert extent(effective > 0) == ((0, 3), (1, 4))


def test_images_that_are_resized_have_no_fields_in_pixels():
    model = models.build(CNN(widths=(2,), head_width=0), num_classes=2)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    half = lambda x: ops.avg_pool(x, 2)  # noqa: E731
    view = View.of_module(model, variables, (8, 8, 1), preprocess=half)
    with pytest.raises(ValueError, match=r"preprocess makes 4×4 pixels of \(8, 8, 1\): expected a crop"):
        receptive_fields(view)


class Own(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.Conv(2, (3, 3), name="edges")(x).reshape(x.shape[0], -1))


def test_a_module_without_a_table_has_effective_fields_alone():
    module = Own()
    view = View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 5, 7, 1))), (5, 7, 1))
    with pytest.raises(ValueError, match="Own: it has no table of layers"):
        receptive_fields(view)
    effective = effective_receptive_field(view, np.zeros((1, 5, 7), np.float32), "edges")
    assert extent(effective > 0) == ((1, 3), (2, 4))


# --- effective --------------------------------------------------------------------------------------------------------

LINEAR = Table(
    (
        Conv("conv1", 2, (3, 5), padding="VALID", bias=False),
        Conv("conv2", 2, (4, 3), stride=(2, 1), padding="VALID", bias=False),
        Conv("conv3", 2, (3, 2), stride=(1, 2), padding="VALID", bias=False),
        Conv("conv4", 2, 3, padding="VALID", bias=False),
        GlobalAvgPool(),
    )
)
STACK = (((3, 1), (4, 2), (3, 1), (3, 1)), ((5, 1), (3, 1), (2, 2), (3, 1)))  # (kernel, stride), rows and columns
SIDES = (14, 12)  # exactly the field of conv4's one position


@pytest.fixture(scope="module")
def linear():
    return view_of(LINEAR, (*SIDES, 1))


def jumps(axis):
    return np.cumprod([1, *(stride for _, stride in axis)])[:-1]


def test_with_uniform_kernels_the_variance_is_that_of_the_sum_of_steps(linear):
    """Luo et al., section 2: each uniform kernel adds the variance of its steps, j²(k² − 1) / 12."""
    uniform = linear.with_variables(jax.tree.map(jnp.ones_like, linear.variables))
    field = effective_receptive_field(uniform, np.zeros((1, *SIDES), np.float32), "conv4")
    variances = [sum(j**2 * (k**2 - 1) / 12 for j, (k, _) in zip(jumps(a), a, strict=True)) for a in STACK]
    np.testing.assert_allclose(effective_deviation(field), np.sqrt(variances), rtol=1e-5)


def test_the_deviation_is_that_of_pixels_drawn_as_often_as_they_count(rng):
    field = rng.integers(0, 5, size=(4, 6))
    drawn = np.repeat(np.argwhere(field >= 0), field.ravel(), axis=0)
    np.testing.assert_allclose(effective_deviation(field), drawn.std(axis=0))
    np.testing.assert_allclose(effective_deviation(0.1 * field), drawn.std(axis=0))
    assert effective_deviation(np.zeros((4, 6))) == (0, 0)


def uniform_line(axis):
    """Uniform kernels one after the other, along one axis."""
    line = np.ones(1)
    for jump, (kernel, _) in zip(jumps(axis), axis, strict=True):
        steps = np.zeros(jump * (kernel - 1) + 1)
        steps[::jump] = 1
        line = np.convolve(line, steps)
    return line


def test_with_random_weights_the_expected_square_is_the_convolution_of_uniform_kernels():
    """Luo et al., section 2.2. Each of the channels is a network of its own, so that one gradient holds many draws."""
    count = 500
    layers = [
        Conv(f"conv{i}", count, kernel, stride=stride, padding="VALID", groups=count, bias=False)
        for i, (kernel, stride) in enumerate((tuple(zip(*pair, strict=True)) for pair in zip(*STACK, strict=True)), 1)
    ]
    model = models.build(Table((*layers, GlobalAvgPool())), num_classes=1, initializer="normal", initializer_scale=1.0)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SIDES, count)))
    view = View.of_module(model, variables, (*SIDES, count))
    found = effective_receptive_field(view, np.zeros((1, *SIDES, count), np.float32), "conv4", squared=True)
    rows, columns = map(uniform_line, STACK)
    expected = rows[:, None] * columns
    found, expected = found / found.sum(), expected / expected.sum()
    # The mean of 500 products of four squares of normals is a tenth off, as these have heavy tails.
    assert np.abs(found - expected).sum() < 0.2
    flat = np.full_like(expected, 1 / expected.size)
    assert np.abs(flat - expected).sum() > 0.5


def test_it_is_the_mean_over_images_of_each_gradient_on_its_own(rng):
    view = view_of(CNN(widths=(2, 3), head_width=0), (5, 7, 2))
    view = view.with_variables(jax.tree.map(lambda w: rng.normal(size=w.shape).astype(w.dtype), view.variables))
    images, totals = rng.uniform(size=(5, 5, 7, 2)).astype(np.float32), {False: 0.0, True: 0.0}
    gradient_of = jax.jit(jax.grad(lambda x: view.at("conv2_relu", x)[0, 1, 2, 1:].sum()))
    for image in images:
        gradient = gradient_of(image[None])[0]
        totals[False] += np.abs(gradient).sum(axis=-1) / 5
        totals[True] += np.square(gradient).sum(axis=-1) / 5
    done = []
    for squared, expected in totals.items():
        found = effective_receptive_field(
            view, images, "conv2_relu", [1, 2], position=(1, 2), squared=squared, memory=1, on_progress=done.append
        )
        assert expected.max() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert done == [1] * 10


def test_it_lies_within_the_theoretical_field_of_the_centre(rng):
    view = view_of(CNN(widths=(2, 3), head_width=0), (16, 20, 1))
    images, fields = rng.uniform(size=(2, 16, 20)).astype(np.float32), receptive_fields(view)
    for layer in ("conv1", "pool1", "conv2_relu"):
        centre = [side // 2 for side in view.layers[layer][:2]]
        found = effective_receptive_field(view, images, layer)
        assert not outside_of(receptive_field_box(fields[layer], centre), found).any()
        assert found.any()


def test_other_weights_need_no_other_program(linear):
    traced = []

    def preprocess(x):
        traced.append(1)
        return x

    view = View.of_module(linear.model, linear.variables, linear.image_shape, preprocess=preprocess)
    twice = view.with_variables(jax.tree.map(lambda w: 2 * w, view.variables))
    images, found, counts = np.zeros((2, *SIDES), np.float32), [], []
    for each, units, position in [(view, None, None), (twice, [1], (1, 2)), (twice, [0, 1], (2, 3))]:
        traced.clear()
        found.append(effective_receptive_field(each, images, "conv2", units, position=position))
        counts.append(len(traced))
    np.testing.assert_allclose(found[2], 4 * found[0], rtol=1e-5)
    assert extent(found[1] > 0)[0][0] == 2
    assert counts[0] > counts[1] == counts[2]  # what is left looks up shapes


def test_size_is_the_root_of_the_number_of_pixels_that_count():
    field = np.zeros((6, 9))
    field[2:4, 3:7] = 0.0456
    field[2, 3] = 1
    field[0] = 0.0454
    assert effective_size(field) == pytest.approx(np.sqrt(8))
    assert effective_size(100 * field) == pytest.approx(np.sqrt(8))
    assert effective_size(np.zeros((3, 4))) == 0


@pytest.mark.parametrize(
    ("layer", "units", "settings", "told"),
    [
        ("conv9", None, {}, "layer is 'conv9': expected one of conv1"),
        ("conv1", [2], {}, "units of conv1 hold 2"),
        ("conv1", None, {"position": (12, 0)}, r"position is \(12, 0\): expected a place of the 12×8 map of conv1"),
        ("conv1", None, {"position": (0, -1)}, r"position is \(0, -1\)"),
        ("conv1", None, {"position": 3}, "position is 3: expected a place"),
        ("logits", None, {"position": (0, 0)}, "None, as logits has no map"),
    ],
)
def test_what_does_not_exist_is_refused(linear, layer, units, settings, told):
    with pytest.raises(ValueError, match=told):
        effective_receptive_field(linear, np.zeros((1, *SIDES), np.float32), layer, units, **settings)


def test_the_extent_of_a_field_is_from_its_first_pixel_to_its_last():
    field = np.zeros((6, 7))
    field[1, 5] = field[4, 2] = 0.1
    first, last = field_extent(field)
    assert (tuple(first), tuple(last)) == ((1, 2), (4, 5))


def test_the_deviation_of_uniform_kernels_is_what_is_measured():
    layers = (Conv("conv1", 1, 5, 2), Pool("pool1", "avg", 3, 1), Conv("conv2", 1, 3, dilation=2))
    model = models.build(
        Table((*layers, GlobalAvgPool())), num_classes=2, initializer="constant", initializer_scale=1.0
    )
    image = np.random.default_rng(0).uniform(size=(1, 48, 48, 1)).astype(np.float32)
    view = View.of_module(model, jax.jit(model.init)(jax.random.key(0), image), image.shape[1:])
    field = effective_receptive_field(view, image, "conv2")
    assert uniform_deviation(layers) == pytest.approx(np.sqrt((24 + 4 * 8 + 16 * 8) / 12))
    np.testing.assert_allclose(effective_deviation(field), 2 * [uniform_deviation(layers)], rtol=1e-5)

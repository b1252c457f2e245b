"""Layers of Flax as networks use them: applied to given parameters, which are differentiated too."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.right_functions.nn import attention, sigmoid, standardize
from convnet.gradcheck.evidence.right_functions.right import SCALES, Draw, RightFunction, in_float32, normal, right

MILD = (1e-3, 0.1, 1.0, 10.0)
"""For gates and softmaxes."""


def parameters(shapes, rng: np.random.Generator):
    """Kernels with variance 1 / fan-in, scales around 1, biases around 0, running variances positive."""

    def of(path, leaf):
        name = jax.tree_util.keystr(path)
        if "scale" in name or "var" in name:
            return np.exp(0.2 * rng.standard_normal(leaf.shape))
        if leaf.ndim < 2:
            return 0.1 * rng.standard_normal(leaf.shape)
        return rng.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))

    return jax.tree_util.tree_map_with_path(of, shapes)


def drawn(module: nn.Module, *shapes: tuple[int, ...], inits: tuple | None = None, **call) -> Draw:
    """(variables, inputs): parameters keep their size, inputs are at the scale."""

    def draw(rng: np.random.Generator, scale: float) -> tuple:
        key = jax.random.key(0)
        inputs = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
        made = jax.eval_shape(lambda *x: module.init(key, *x, **call), *inputs)
        return parameters(made, rng), *(scale * rng.standard_normal(shape) for shape in shapes)

    return draw


def applied(module: nn.Module, **call) -> Callable:
    return lambda variables, *inputs: module.apply(variables, *inputs, **call)


def layer(name: str, module: nn.Module, *shapes: tuple[int, ...], scales=SCALES, call=None, **options) -> RightFunction:
    return right(name, applied(module, **(call or {})), drawn(module, *shapes, **(call or {})), scales, **options)


def normalised_in_training(variables, x):
    """Output and the running statistics that come with it."""
    return nn.BatchNorm(use_running_average=False).apply(variables, x, mutable=["batch_stats"])[0]


def cell(name: str, module: nn.RNNCellBase, carries: int, features: int = 4) -> RightFunction:
    """One step from a given state to the next."""

    def step(variables, carry, x):
        return module.apply(variables, carry, x)

    def draw(rng, scale):
        state = np.zeros((3, features), np.float32)
        start = (state,) * carries if carries > 1 else state
        shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), start, np.zeros((3, 5), np.float32)))
        carry = [np.tanh(rng.standard_normal((3, features))) for _ in range(carries)]
        return parameters(shapes, rng), tuple(carry) if carries > 1 else carry[0], scale * rng.standard_normal((3, 5))

    return right(name, step, draw, MILD)


def unrolled(name: str, module: nn.RNNCellBase, carries: int, features: int = 4) -> RightFunction:
    """Through time, by `nn.RNN`, from a given state."""
    network = nn.RNN(module)

    def run(variables, carry, x):
        return network.apply(variables, x, initial_carry=carry)

    def draw(rng, scale):
        x = scale * rng.standard_normal((2, 6, 3))
        shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), x.astype(np.float32)))
        carry = [np.tanh(rng.standard_normal((2, features))) for _ in range(carries)]
        return parameters(shapes, rng), tuple(carry) if carries > 1 else carry[0], x

    return right(name, run, draw, MILD)


class Perceptron(nn.Module):
    """Two layers with dropout's mask given."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.gelu(nn.Dense(6)(x)))


class Encoder(nn.Module):
    """A block of a transformer: pre-norm, residual."""

    @nn.compact
    def __call__(self, x):
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x))
        return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(8)(nn.LayerNorm()(x))))


class Residual(nn.Module):
    """A block of a residual network: the biases of its convolutions cannot matter before batch norm."""

    @nn.compact
    def __call__(self, x):
        y = nn.relu(nn.BatchNorm(use_running_average=False)(nn.Conv(3, (3, 3))(x)))
        return nn.relu(x + nn.BatchNorm(use_running_average=False)(nn.Conv(3, (3, 3))(y)))


def residual_block(variables, x):
    return Residual().apply(variables, x, mutable=["batch_stats"])[0]


def classified(variables, x, labels):
    """Cross-entropy of a perceptron, in its parameters and inputs."""
    logits = Perceptron().apply(variables, x)
    return -jnp.mean(jnp.take_along_axis(nn.log_softmax(logits), labels[:, None], 1))


def classification(rng, scale):
    return *drawn(Perceptron(), (6, 3))(rng, scale), rng.integers(2, size=6)


def attended(variables, x, mask):
    return nn.MultiHeadDotProductAttention(num_heads=2).apply(variables, x, mask=mask)


def attention_with_mask(rng, scale):
    drawn_ = drawn(nn.MultiHeadDotProductAttention(num_heads=2), (2, 4, 6))(rng, scale)
    return *drawn_, np.tri(4, dtype=bool)[None, None]


def embedded(variables, ids):
    return nn.Embed(7, 4).apply(variables, ids)


def ids_of_words(rng, scale):
    return {"params": {"embedding": scale * rng.standard_normal((7, 4))}}, rng.integers(7, size=(2, 5))


def rms_norm(x, weight, eps=1e-6):
    """As language models write it: statistics in float32, whatever comes in."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + eps)).astype(x.dtype) * weight


def layer_norm(x, scale, bias, eps=1e-6):
    """As one writes it first."""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + eps) * scale + bias


def norm_draw(count: int) -> Draw:
    def draw(rng, scale):
        others = np.exp(0.2 * rng.standard_normal(6)), 0.1 * rng.standard_normal(6)
        return scale * rng.standard_normal((4, 6)), *others[:count]

    return draw


def gated_unit(h, x, w, u, b):
    """A gated recurrent unit by hand: [N, H], [N, D]."""
    z, r, n = jnp.split(x @ w + b, 3, -1)
    hz, hr, hn = jnp.split(h @ u, 3, -1)
    z, r = jax.nn.sigmoid(z + hz), jax.nn.sigmoid(r + hr)
    return (1 - z) * jnp.tanh(n + r * hn) + z * h


def gated_unit_again(h, x, w, u, b):
    k = h.shape[1]
    z = sigmoid(x @ w[:, :k] + b[:k] + h @ u[:, :k])
    r = sigmoid(x @ w[:, k : 2 * k] + b[k : 2 * k] + h @ u[:, k : 2 * k])
    return z * h + (1 - z) * jnp.tanh(x @ w[:, 2 * k :] + b[2 * k :] + r * (h @ u[:, 2 * k :]))


def gated_draw(rng, scale):
    shapes = ((3, 4), (3, 5), (5, 12), (4, 12), (12,))
    h, x, w, u, b = (rng.standard_normal(shape) for shape in shapes)
    return np.tanh(h), scale * x, w / np.sqrt(5), u / 2, 0.1 * b


def rotary(q, k):
    """Rotary positions: [T, H]."""
    angle = np.arange(5)[:, None] / 100.0 ** (np.arange(2) / 2)
    cos, sin = np.cos(angle), np.sin(angle)

    def turned(x):
        a, b = jnp.split(x, 2, -1)
        return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)

    return turned(q) @ turned(k).T


def mixture_of_experts(x, gate, experts):
    """Softly mixed."""
    return jnp.einsum("ne,edk,nd->nk", jax.nn.softmax(x @ gate), experts, x)


def head_attention(x, wq, wk, bk, wv):
    """With a bias of the keys, which cannot matter."""
    q, k, v = x @ wq, x @ wk + bk, x @ wv
    return jax.nn.softmax(q @ k.T / 2) @ v


def head_draw(rng, scale):
    x, wq, wk, bk, wv = (rng.standard_normal(s) for s in ((5, 6), (6, 4), (6, 4), (4,), (6, 3)))
    return scale * x, wq / 2.5, wk / 2.5, 0.1 * bk, wv / 2.5


IMAGES = (2, 6, 6, 3)

RIGHT: tuple[RightFunction, ...] = (
    layer("Dense", nn.Dense(4), (3, 5), reference=lambda v, x: x @ v["params"]["kernel"] + v["params"]["bias"],
          oracle=lambda v, x: x @ v["params"]["kernel"] + v["params"]["bias"]),
    layer("DenseGeneral", nn.DenseGeneral((2, 3), axis=(-2, -1)), (3, 4, 2),
          reference=lambda v, x: jnp.einsum("nab,abcd->ncd", x, v["params"]["kernel"]) + v["params"]["bias"]),
    layer("Einsum", nn.Einsum((4, 2, 3), "ni,iab->nab"), (3, 4)),
    layer("Conv, one dimension", nn.Conv(4, (3,)), (2, 7, 3)),
    layer("Conv", nn.Conv(4, (3, 3)), IMAGES),
    layer("Conv, strides", nn.Conv(4, (3, 3), strides=(2, 2), padding="VALID"), IMAGES),
    layer("Conv, dilated, grouped", nn.Conv(6, (2, 2), kernel_dilation=(2, 2), feature_group_count=3), IMAGES),
    layer("Conv, circular", nn.Conv(2, (3, 3), padding="CIRCULAR"), IMAGES),
    layer("ConvTranspose", nn.ConvTranspose(2, (3, 3), strides=(2, 2)), (2, 3, 3, 3)),
    layer("ConvLocal", nn.ConvLocal(2, (3,)), (2, 6, 3)),
    layer("LayerNorm", nn.LayerNorm(), (4, 8), reference=lambda v, x: standardize(x, 1e-6) * v["params"]["scale"]
          + v["params"]["bias"]),
    layer("GroupNorm", nn.GroupNorm(num_groups=2), (2, 4, 4, 6)),
    layer("InstanceNorm", nn.InstanceNorm(), (2, 4, 4, 3)),
    layer("RMSNorm", nn.RMSNorm(), (4, 8), reference=lambda v, x: v["params"]["scale"] * x
          / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)),
    right("BatchNorm", normalised_in_training, drawn(nn.BatchNorm(use_running_average=False), (6, 4))),
    right("BatchNorm of images", normalised_in_training, drawn(nn.BatchNorm(use_running_average=False), IMAGES)),
    layer("BatchNorm, inference", nn.BatchNorm(use_running_average=True), (6, 4)),
    layer("WeightNorm", nn.WeightNorm(nn.Dense(4)), (3, 5)),
    layer("PReLU", nn.PReLU(), (3, 5), reference=lambda v, x: jnp.where(
        x >= 0, x, v["params"]["negative_slope"] * x)),
    layer("Dropout, none", nn.Dropout(0.5), (3, 5), call={"deterministic": True}),
    right("Embed", embedded, ids_of_words, reference=lambda v, ids: v["params"]["embedding"][ids]),
    layer("MultiHeadDotProductAttention", nn.MultiHeadDotProductAttention(num_heads=2), (2, 4, 6), scales=MILD),
    right("MultiHeadDotProductAttention, causal", attended, attention_with_mask, MILD),
    layer("Perceptron", Perceptron(), (4, 3)),
    layer("Encoder", Encoder(), (2, 4, 6)),
    right("residual block", residual_block, drawn(Residual(), (2, 5, 5, 3))),
    right("classifier", classified, classification, MILD),
    cell("SimpleCell", nn.SimpleCell(4), 1),
    cell("LSTMCell", nn.LSTMCell(4), 2),
    cell("OptimizedLSTMCell", nn.OptimizedLSTMCell(4), 2),
    cell("GRUCell", nn.GRUCell(4), 1),
    cell("MGUCell", nn.MGUCell(4), 1),
    unrolled("RNN of LSTMCell", nn.LSTMCell(4), 2),
    unrolled("RNN of GRUCell", nn.GRUCell(4), 1),
    right("RNN, its own start", applied(nn.RNN(nn.SimpleCell(4))),
          in_float32(drawn(nn.RNN(nn.SimpleCell(4)), (2, 6, 3))), MILD),
    right("Encoder in float32", applied(Encoder()), in_float32(drawn(Encoder(), (2, 4, 6)))),
    right("Conv in float32", applied(nn.Conv(4, (3, 3))), in_float32(drawn(nn.Conv(4, (3, 3)), IMAGES))),
    right("average pooling", lambda x: nn.avg_pool(x, (2, 2), (2, 2)), normal(IMAGES)),
    right("max pooling", lambda x: nn.max_pool(x, (3, 3), (2, 2)), normal(IMAGES)),
    right("RMS norm in float32", rms_norm, norm_draw(1), dtype="float32"),
    right("layer norm by hand", layer_norm, norm_draw(2), reference=lambda x, scale, bias:
          standardize(x, 1e-6) * scale + bias),
    right("batch norm by hand", lambda x, scale, bias: layer_norm(x.T, 1.0, 0.0).T * scale + bias, norm_draw(2)),
    right("gated unit by hand", gated_unit, gated_draw, MILD, reference=gated_unit_again),
    right("rotary positions", rotary, normal((5, 4), (5, 4))),
    right("mixture of experts", mixture_of_experts, lambda rng, s: (
        s * rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal((2, 3, 2))), MILD),
    right("attention with a key bias", head_attention, head_draw, MILD, reference=lambda x, wq, wk, bk, wv:
          attention((x @ wq)[None, :, None], (x @ wk + bk)[None, :, None], (x @ wv)[None, :, None])[0, :, 0]),
    right("dense before batch norm", lambda x, w, b: standardize((x @ w + b).T).T, lambda rng, s: (
        s * rng.standard_normal((6, 3)), rng.standard_normal((3, 4)), 0.1 * rng.standard_normal(4))),
)  # fmt: skip

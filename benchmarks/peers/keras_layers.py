"""Training steps as Keras users write them: a functional model on the JAX backend, `train_on_batch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import jax
import keras
from keras import layers as kl

from benchmarks.cases import GemmTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, Network, StepTask, initial_parameters, synthetic_data
from benchmarks.peers.jax_ops import gemm_program, memory, precisely
from benchmarks.peers.program import Loaded, Program, Unsupported
from benchmarks.peers.vocabulary import spans, unwritten
from convnet.architectures import layers, shapes

FUNCTIONS = ("relu", "tanh", "sigmoid")


def build_model(network: Network) -> keras.Model:
    """The network over uint8 images, with its initial parameters. Raises Unsupported for a layer not written here."""
    inputs = keras.Input(network.image_shape, dtype="uint8")
    leaves = map(_written, network.placed)
    model = keras.Model(inputs, _through(network.layers, kl.Rescaling(1 / 255)(inputs), leaves))
    for name, own in initial_parameters(network).items():
        layer = model.get_layer(_keras_name(name))
        rest = layer.get_weights()[len(own) :]  # a normalisation's running statistics
        layer.set_weights([*own.values(), *rest])
    return model


def _through(body: Sequence[layers.Layer], x, leaves: Iterator[Callable]):
    """`x` through the layers; `leaves` are theirs, in the order of `shapes.walk`."""
    for layer in body:
        match layer:
            case layers.Block():
                x = _through(layer.layers, x, leaves)
            case layers.Residual(function=function) if function in FUNCTIONS:
                both = [_through(part, x, leaves) for part in (layer.body, layer.shortcut)]
                x = kl.Activation(function)(kl.Add()(both))
            case layers.Residual():
                raise unwritten(layer, "Keras")
            case _:
                x = next(leaves)(x)
    return x


def _written(placed: shapes.Placed) -> Callable:
    layer, name = placed.layer, _keras_name(placed.name)
    match layer:
        case layers.Conv(frozen=False):
            return _conv(layer, name, placed.input)
        case layers.Dense(features=features, bias=bias):
            return kl.Dense(features, use_bias=bias, name=name)
        case layers.BatchNorm(momentum=momentum, use_scale=use_scale):
            return kl.BatchNormalization(momentum=momentum, epsilon=1e-5, scale=use_scale, name=name)
        case layers.Activation(function=function) if function in FUNCTIONS:
            return kl.Activation(function)
        case layers.Pool(kind=kind) if not any(map(any, spans(layer, placed.input).padding)):
            pool = kl.MaxPooling2D if kind == "max" else kl.AveragePooling2D
            return pool(*spans(layer, placed.input)[:2])
        case layers.GlobalAvgPool():
            return kl.GlobalAveragePooling2D()
        case layers.Flatten():
            return kl.Flatten()
        case layers.Dropout(rate=0):
            return lambda x: x
    raise unwritten(layer, "Keras")


def _conv(layer: layers.Conv, name: str, shape: shapes.Shape) -> Callable:
    kernel, stride, dilation, padding = spans(layer, shape)
    same = padding == spans(replace(layer, padding="SAME"), shape).padding  # uneven where the stride is not 1
    settings = dict(dilation_rate=dilation, groups=layer.groups, use_bias=layer.bias, name=name)
    conv = kl.Conv2D(layer.features, kernel, stride, "same" if same else "valid", **settings)
    return conv if same or not any(map(any, padding)) else lambda x: conv(kl.ZeroPadding2D(padding)(x))


def _keras_name(name: str) -> str:
    return name.replace("/", ".")  # Keras has no slash in names


def step_program(task: StepTask) -> Program:
    model = build_model(task.network)
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images, labels = map(jax.device_put, synthetic_data(task.network, task.batch))

    def run(calls: int) -> float:
        for _ in range(calls):
            model.reset_metrics()
            loss = model.train_on_batch(images, labels)  # a number: it waits
        return float(loss)

    return Program(run)


def load() -> Loaded:
    def build(task: Task) -> Program:
        if isinstance(task, GemmTask):
            return gemm_program(task)
        if not isinstance(task, StepTask):
            raise Unsupported("Keras has no convolution of its own")
        if task.precision == "bfloat16":
            raise Unsupported("Keras is not measured in bfloat16")
        return precisely(task.precision, step_program(task))

    return Loaded(build, device=jax.devices()[0].device_kind, memory=memory)

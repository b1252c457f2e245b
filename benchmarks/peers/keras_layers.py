"""Training steps as Keras users write them: a functional model on the JAX backend, `train_on_batch`."""

from __future__ import annotations

import jax
import keras
from keras import layers as kl

from benchmarks import networks
from benchmarks.cases import GemmTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, Network, StepTask, initial_parameters, synthetic_data
from benchmarks.peers.jax_ops import gemm_program, memory, precisely
from benchmarks.peers.program import Loaded, Program, Unsupported


def build_model(network: Network) -> keras.Model:
    """The network of the table over uint8 images, with the table's initial parameters."""
    inputs = keras.Input(network.image_shape, dtype="uint8")
    x = _forward(network.layers, kl.Rescaling(1 / 255)(inputs), "layer")
    model = keras.Model(inputs, x)
    for name, own in initial_parameters(network).items():
        layer = model.get_layer(name)
        rest = layer.get_weights()[len(own) :]  # a normalisation's running statistics
        layer.set_weights([*own.values(), *rest])
    return model


def _forward(layers, x, prefix: str):
    for i, layer in enumerate(layers):
        name = f"{prefix}_{i}"
        match layer:
            case networks.Conv(features=features, kernel=kernel, stride=stride, bias=bias):
                # "same" pads unevenly where the stride is not 1.
                x = kl.ZeroPadding2D(kernel // 2)(x) if stride > 1 and kernel > 1 else x
                padding = "same" if stride == 1 else "valid"
                x = kl.Conv2D(features, kernel, strides=stride, padding=padding, use_bias=bias, name=name)(x)
            case networks.Norm():
                x = kl.BatchNormalization(epsilon=1e-5, name=name)(x)
            case networks.Relu():
                x = kl.ReLU()(x)
            case networks.Pool(window=window):
                x = kl.MaxPooling2D(window)(x)
            case networks.GlobalAverage():
                x = kl.GlobalAveragePooling2D()(x)
            case networks.Flatten():
                x = kl.Flatten()(x)
            case networks.Dense(features=features):
                x = kl.Dense(features, name=name)(x)
            case networks.Residual(body=body, shortcut=shortcut):
                beside = _forward(shortcut, x, f"{name}_shortcut")
                x = kl.ReLU()(kl.Add()([_forward(body, x, f"{name}_body"), beside]))
    return x


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

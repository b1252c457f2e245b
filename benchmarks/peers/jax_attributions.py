"""Attributions of the project itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.attributions import BASELINES, AttributionTask
from benchmarks.networks import CLASSES, synthetic_data
from benchmarks.peers.program import Program
from convnet import models
from convnet.analysis import View, integrated_gradients, occlusion
from convnet.ops import OpSet


def attribution_program(task: AttributionTask, opset: OpSet, params: dict) -> Program:
    """params: of the network, as Flax nests them. The loss is the mean of the absolute attributions."""
    model = models.build(task.network.architecture, num_classes=CLASSES, ops=opset)
    view = View.of_module(model, {"params": params}, task.network.image_shape)
    images, labels = synthetic_data(task.network, task.images)
    attribute = method_of(task, view, images, labels)

    def run(calls: int) -> float:
        for _ in range(calls):
            found = attribute()  # an array of NumPy: it waits
        return float(np.abs(found).mean())

    return Program(run)


def method_of(task: AttributionTask, view: View, images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    baseline = BASELINES[task.method]
    if task.method == "integrated-gradients":
        (steps,) = task.settings
        return lambda: integrated_gradients(view, images, labels, baseline=baseline, steps=steps).attributions
    window, stride = task.settings

    def by_pixel() -> np.ndarray:
        found = occlusion(view, images, labels, baseline=baseline, window=window, stride=stride)
        return found.grid.per_pixel(found.logit_drop)

    return by_pixel

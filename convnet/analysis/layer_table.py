"""A network layer by layer: what comes out, what it sees of the image, what it costs."""

from __future__ import annotations

from typing import NamedTuple

from convnet import models
from convnet.analysis.receptive_field import receptive_fields
from convnet.analysis.view import View
from convnet.architectures import shapes
from convnet.architectures.published import Published


class LayerCost(NamedTuple):
    """output: the shape that comes out. field: the side of the receptive field along rows, in pixels. parameters:
    trained. multiply_adds: of one image's forward pass."""

    name: str
    output: shapes.Shape
    field: int
    parameters: int
    multiply_adds: int


def layer_table(view: View) -> list[LayerCost]:
    """Of each layer with weights, in the order of the network."""
    fields = receptive_fields(view)
    return [
        LayerCost(p.name, p.output, fields[p.name][0].size, shapes.trained_values(p), adds)
        for p in view.placed
        if (adds := shapes.multiply_adds(p))
    ]


def published_view(entry: Published) -> View:
    """A published network on the images that it was made for, without weights: for what its layers tell by themselves,
    such as `layer_table` and `receptive_fields`."""
    model = models.build(entry.architecture, num_classes=entry.classes)
    return View.of_module(model, {}, entry.image_shape, class_names=map(str, range(entry.classes)))

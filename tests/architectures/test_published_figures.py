"""What others say of the published networks holds of the tables here."""

import pytest

from convnet import models
from convnet.analysis import View, receptive_fields
from convnet.architectures.published import PUBLISHED


@pytest.mark.parametrize("name", [name for name, entry in PUBLISHED.items() if entry.billions is not None])
def test_multiply_adds_are_torchvisions(name):
    assert round(PUBLISHED[name].multiply_adds / 1e9, 3) == PUBLISHED[name].billions


@pytest.mark.parametrize("name", [name for name, entry in PUBLISHED.items() if entry.field is not None])
def test_the_last_pooling_sees_as_many_pixels_as_published(name):
    entry = PUBLISHED[name]
    model = models.build(entry.architecture, num_classes=entry.classes)
    names = map(str, range(entry.classes))
    view = View.of_module(model, {}, entry.image_shape, class_names=names)
    assert {axis.size for axis in receptive_fields(view)["pool5"]} == {entry.field}

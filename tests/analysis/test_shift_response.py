"""What shifts do, where it is known."""

import jax
import numpy as np
import pytest

from convnet import models
from convnet.analysis import View
from convnet.analysis.shift_response import equivariance_error, shift_response
from convnet.architectures import Table
from convnet.architectures.layers import Conv, GlobalAvgPool
from convnet.data import Split


@pytest.mark.parametrize(("stride", "shift", "follows"), [(1, 1, True), (1, 3, True), (2, 2, True), (2, 1, False)])
def test_a_convolution_follows_shifts_by_multiples_of_its_stride(rng, stride, shift, follows):
    images, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 24, 24, 2), (3, 3, 2, 4)))
    error = equivariance_error(images, kernel, stride=stride, shift=shift)
    assert (error < 1e-5) == follows
    assert follows or error > 0.1


def test_a_sum_over_all_places_knows_no_shift_and_maps_tell_the_row(rng):
    def bars(n):
        """A bright bar of one brightness in the middle row of each."""
        images = np.zeros((n, 9, 9, 1), np.uint8)
        images[:, 4, 2:7, 0] = rng.integers(100, 256, n)[:, None]
        return Split(images, np.zeros(n, int))

    model = models.build(Table((Conv("conv1", 2, 1), GlobalAvgPool())), num_classes=2)
    view = View.of_module(model, jax.jit(model.init)(jax.random.key(0), np.zeros((1, 9, 9, 1), np.float32)), (9, 9, 1))
    reductions = {"whole map": lambda maps: maps, "all places": lambda maps: maps.sum(axis=(1, 2))}
    (moved, told), (still, guessed) = shift_response(view, "conv1", reductions, bars(120), bars(60), reach=1)
    assert moved > 1  # by one row, all of the bar is elsewhere, while other images only differ in brightness
    assert still < 1e-3
    assert told == 1
    assert guessed < 0.6

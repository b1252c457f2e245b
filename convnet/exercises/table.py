"""The eight exercises, by number."""

from __future__ import annotations

from convnet.exercises import correlation, cross_entropy, glorot, max_pool, momentum, occlusion_map, receptive_field
from convnet.exercises.exercise import Exercise

EXERCISES: dict[int, Exercise] = {
    exercise.number: exercise
    for exercise in (
        correlation.CORRELATION,
        correlation.GRADIENTS,
        max_pool.EXERCISE,
        cross_entropy.EXERCISE,
        glorot.EXERCISE,
        momentum.EXERCISE,
        receptive_field.EXERCISE,
        occlusion_map.EXERCISE,
    )
}

"""Glorot's weights as a student writes them, right and with a mistake each."""

import numpy as np


def fans(numbers):
    area = int(np.prod(numbers.shape[:-2]))
    return area * numbers.shape[-2], area * numbers.shape[-1]


def right(numbers):
    return numbers * np.sqrt(6 / sum(fans(numbers)))


def variance_of_one(numbers):
    return numbers * np.sqrt(2 / sum(fans(numbers)))


def no_root(numbers):
    return numbers * (6 / sum(fans(numbers)))


def lecun(numbers):
    return numbers * np.sqrt(3 / fans(numbers)[0])


def he(numbers):
    return numbers * np.sqrt(6 / fans(numbers)[0])


def area_forgotten(numbers):
    return numbers * np.sqrt(6 / (numbers.shape[-2] + numbers.shape[-1]))


def area_in_fan_in_only(numbers):
    return numbers * np.sqrt(6 / (fans(numbers)[0] + numbers.shape[-1]))


def first_axes(numbers):
    return numbers * np.sqrt(6 / (numbers.shape[0] + numbers.shape[1]))


def sum_for_mean(numbers):
    return numbers * np.sqrt(3 / sum(fans(numbers)))


def numbers_of_its_own(numbers):
    bound = np.sqrt(6 / sum(fans(numbers)))
    return np.random.default_rng(0).uniform(-bound, bound, numbers.shape)


def from_zero_on(numbers):
    return (numbers + 1) / 2 * np.sqrt(6 / sum(fans(numbers)))


def scale_alone(numbers):
    return np.sqrt(6 / sum(fans(numbers)))


def dense_only(numbers):
    fan_in, fan_out = numbers.shape
    return numbers * np.sqrt(6 / (fan_in + fan_out))


GLOROT = {
    variance_of_one: "where a uniform number on [−1, 1) is taken to have a variance of 1",
    no_root: "a square root is missing",
    lecun: "from the fan-in alone, as LeCun's",
    he: "from the fan-in alone, as He's",
    area_forgotten: "where the pixels of the kernel are forgotten",
    area_in_fan_in_only: "where the pixels of the kernel count in the fan-in only",
    first_axes: "where fans are the first two axes",
    sum_for_mean: "but their sum",
    numbers_of_its_own: "Case 1, weights: every entry is wrong",
    from_zero_on: "where the numbers are moved to [0, 1)",
    scale_alone: "weights has shape []: expected [4, 4]",
    dense_only: "raises ValueError: too many values to unpack",
}

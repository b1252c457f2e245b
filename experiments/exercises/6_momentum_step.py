"""Exercise 6: one step of gradient descent with momentum.

Write `momentum_step`. `make exercise N=6` judges it, or `python experiments/exercise.py 6`.

After the gradients g_1, g_2, …, g_t (the newest is g_t), the velocity is their sum, each times the momentum μ to the
power of its age:

    v_t = g_t + μ·g_(t−1) + μ²·g_(t−2) + …

and the weights move against it, by the learning rate η: w_t = w_(t−1) − η·v_t. To keep all gradients would take too
much memory. How does v_t follow from v_(t−1) and g_t alone?
"""

import numpy as np


def momentum_step(weights, velocity, gradient, learning_rate, momentum):
    """weights, velocity, gradient: arrays of one shape, any. velocity: v_(t−1); of zeros before the first step.
    gradient: g_t. learning_rate, momentum: numbers.

    Returns (weights, velocity): w_t and v_t, as new arrays; those that were given stay as they are.

    An example, with learning rate 0.5 and momentum 0.5: from weights [1], velocity [4] and gradient [2] come weights
    [−1] and velocity [4].
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    print(momentum_step(np.array([1.0]), np.array([4.0]), np.array([2.0]), learning_rate=0.5, momentum=0.5))

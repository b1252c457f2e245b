"""Exercise 5: the scale of Glorot's initial weights.

Write `glorot_uniform`. `make exercise N=5` judges it, or `python experiments/exercise.py 5`.

An output is a sum over the layer's fan-in, the number of inputs that one output sees; if inputs and weights are
independent, of mean 0, and inputs have variance 1, what is the variance of the output? Which variance of the weights
keeps it at 1? On the way back, the gradient in an input is a sum over the fan-out, the number of outputs that one input
goes to (borders and strides aside), and asks for another variance. Glorot and Bengio (AISTATS 2010) choose the variance
of which the inverse is the mean of the two inverses. Last: what is the variance of uniform numbers on [−b, b]?
"""

import numpy as np


def glorot_uniform(numbers):
    """numbers: independent, uniform on [−1, 1), of the shape of the weights: [fan-in, fan-out] of a dense layer, or
    [KH, KW, C, K] of kernels. A kernel sees KH × KW pixels of each of C channels.

    Returns the weights: numbers times one scale, so that they have Glorot's variance.

    An example: a dense layer of 4 inputs and 2 outputs gets the scale 1, and a kernel of 3×3 from 4 channels to 2 gets
    1/3.
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    print(glorot_uniform(np.ones((4, 2)))[0, 0], glorot_uniform(np.ones((3, 3, 4, 2)))[0, 0, 0, 0])

"""Exercise 2: the two gradients of the cross-correlation, in the images and in the kernels.

Write `cross_correlation_gradients`. `make exercise N=2` judges it, or `python experiments/exercise.py 2`.

A loss L depends on the outputs of exercise 1, and d_outputs = dL/d(outputs) is known: of every output, how much L
changes with it. By the chain rule, the derivative of L in one pixel is the sum, over all outputs that the pixel takes
part in, of d_outputs there times the weight by which it went in. And in one weight: over all outputs, and all images.
Write down both sums from that of exercise 1. Which outputs does pixel (h, w) take part in, and through which weights?
"""

import numpy as np


def cross_correlation_gradients(images, kernels, d_outputs, stride, padding):
    """images: [N, H, W, C]. kernels: [KH, KW, C, K]. d_outputs: [N, OH, OW, K]. stride, padding: as in exercise 1.

    Returns (d_images, d_kernels), of the shapes of images and kernels.

    An example, with stride 1 and padding 0, where L is the first output plus 10 times the last:

        images          kernels     d_outputs       d_images        d_kernels
        1  2  3         1  0        1   0           1   0   0       51  62
        4  5  6         0  2        0  10           0  12   0       84  95
        7  8  9                                     0   0  20

    Padding has no gradient: what falls on it is dropped.
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    images, kernels = np.arange(1.0, 10).reshape(1, 3, 3, 1), np.array([[1.0, 0], [0, 2]]).reshape(2, 2, 1, 1)
    d_outputs = np.array([[1.0, 0], [0, 10]]).reshape(1, 2, 2, 1)
    d_images, d_kernels = cross_correlation_gradients(images, kernels, d_outputs, stride=1, padding=0)
    print(d_images[0, :, :, 0], d_kernels[:, :, 0, 0], sep="\n\n")

"""Exercise 1: the cross-correlation of images with kernels, which deep learning calls a convolution.

Write `cross_correlate`. `make exercise N=1` judges it, or `python experiments/exercise.py 1`.

Every kernel looks at every window of its size: the outputs hold, for each window, the sum of its pixels, each times the
weight that lies on it, over rows, columns and channels. The kernel is laid on as it is, not turned around. Write down
the sum first: which pixel (row, column, channel) meets which weight in output (i, j), where the stride is s and the
images have p rows and columns of zeros around them?
"""

import numpy as np


def cross_correlate(images, kernels, stride, padding):
    """images: [N, H, W, C]. kernels: [KH, KW, C, K]. stride: from one window to the next, in pixels, along rows and
    columns. padding: so many rows and columns of zeros are added on each of the four sides first.

    Returns the outputs: [N, OH, OW, K], for all windows that fit. How many are they? Rows and columns that are left
    over at the end take part in nothing.

    An example, with stride 1 and padding 0, of one channel:

        images          kernels     outputs
        1  2  3         1  0        1 + 10  2 + 12      11  14
        4  5  6         0  2        4 + 16  5 + 18      20  23
        7  8  9

    `np.pad`, `np.einsum` and `np.tensordot` are of use; loops over the windows, or over the kernel, will do.
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    example = np.arange(1.0, 10).reshape(1, 3, 3, 1), np.array([[1.0, 0], [0, 2]]).reshape(2, 2, 1, 1)
    print(cross_correlate(*example, stride=1, padding=0)[0, :, :, 0])

"""Exercise 3: the gradient of max-pooling.

Write `max_pool_gradient`. `make exercise N=3` judges it, or `python experiments/exercise.py 3`.

Max-pooling keeps the largest pixel of each window, channel by channel. If that pixel grows a little, the output grows
as much; if another one does, nothing happens. So what is the derivative of one output in each pixel of its window? And
where windows overlap, what is that of the loss in a pixel that is the largest of several?
"""

import numpy as np


def max_pool_gradient(images, d_outputs, window, stride):
    """images: [N, H, W, C]. d_outputs: [N, OH, OW, C], the gradient of a loss in the pooled maps. window: the side of
    the square windows. stride: from one window to the next. No padding; rows and columns at the end that fill no window
    are in none.

    Returns d_images: [N, H, W, C].

    Where several pixels of a window are equal and largest, the first one counts, row by row from the top left.

    An example, with windows of 2×2 and stride 1:

        images          d_outputs       d_images
        1  5  2           1    10       0   1     0
        3  5  9         100  1000       0 100  1010
        0  4  8
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    images = np.array([[1.0, 5, 2], [3, 5, 9], [0, 4, 8]]).reshape(1, 3, 3, 1)
    d_outputs = np.array([[1.0, 10], [100, 1000]]).reshape(1, 2, 2, 1)
    print(max_pool_gradient(images, d_outputs, window=2, stride=1)[0, :, :, 0])

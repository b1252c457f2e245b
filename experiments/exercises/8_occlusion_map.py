"""Exercise 8: an occlusion map, which shows what part of an image a network looks at.

Write `occlusion_map`. `make exercise N=8` judges it, or `python experiments/exercise.py 8`.

Hide a window of the image in grey, everywhere in turn, and see how much of the score is left (Zeiler and Fergus, ECCV
2014). Where much is lost, the network needed what was there. How many windows are there along an axis of n pixels, of
which every one has to be hidden at least once?
"""

import numpy as np


def occlusion_map(score, image, window, stride, grey):
    """score: a function of images [N, H, W, C] that gives numbers [N]: how sure the network is of a class. image:
    [H, W, C]. window: the side of the square windows. stride: from one window to the next, at most `window`. grey: the
    value that all channels of hidden pixels get.

    Returns drops: [rows, columns], of each window by how much the score falls below that of the whole image: score of
    the image − score with the window hidden. Window (i, j) begins at row i · stride and column j · stride. There are as
    many as it takes to hide every pixel: the last ones may reach over the border, and hide what there is of them.

    An example, where the score is the sum of the pixels and hidden is 0, with windows of 2×2 and stride 2:

        image           drops
        1  2  3         12   9
        4  5  6         15   9
        7  8  9
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    image = np.arange(1.0, 10).reshape(3, 3, 1)
    print(occlusion_map(lambda images: images.sum(axis=(1, 2, 3)), image, window=2, stride=2, grey=0.0))

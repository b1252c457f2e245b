"""Exercise 7: the arithmetic of receptive fields.

Write `receptive_field`. `make exercise N=7` judges it, or `python experiments/exercise.py 7`.

A unit of the first layer sees as many pixels as its kernel is wide. A unit of the second sees several units of the
first, and of each all that it sees. Follow along one axis what a unit sees, layer by layer: how many pixels, from which
on, and by how many pixels that moves from one unit to the next.

A drawing of two layers, kernel 3 with stride 2 below kernel 3 with stride 1, says all that there is to know.
"""


def receptive_field(layers):
    """layers: (kernel, stride, padding) of each convolution or pooling, along one axis, first layer first; padding:
    elements of zero before the first one.

    Returns three whole numbers, (size, jump, start), of a unit of the last layer:

        size    how many pixels of the image it sees, from the first to the last
        jump    by how many pixels its neighbour sees later ones
        start   the first pixel that the first unit sees; negative where it is padding

    An example: no layers at all give (1, 1, 0), and ((3, 2, 1), (3, 1, 0)) give (7, 2, -1).
    """
    raise NotImplementedError


if __name__ == "__main__":  # the example
    print(receptive_field(()), receptive_field(((3, 2, 1), (3, 1, 0))))

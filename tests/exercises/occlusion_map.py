"""An occlusion map as a student writes it, right and with a mistake each."""

import numpy as np


def drops(score, image, window, stride, grey, *, count=None, copy=True, hide=None):
    """Right, unless something is changed. count: (side, window, stride) -> how many windows. copy: whether each version
    starts from the whole image. hide: (version, rows, columns) -> what is hidden, in place."""
    count = count or (lambda side, w, s: int(np.ceil((side - w) / s)) + 1)
    rows, cols = (count(side, window, stride) for side in image.shape[:2])
    found, version = np.zeros((rows, cols)), image.copy()
    whole = score(image[None])[0]
    for i, j in np.ndindex(rows, cols):
        version = image.copy() if copy else version
        at = slice(i * stride, i * stride + window), slice(j * stride, j * stride + window)
        if hide:
            hide(version, *at)
        else:
            version[at] = grey
        found[i, j] = whole - score(version[None])[0]
    return found


def scores(score, image, window, stride, grey):
    return score(image[None])[0] - drops(score, image, window, stride, grey)


def sign(score, image, window, stride, grey):
    return -drops(score, image, window, stride, grey)


def not_restored(score, image, window, stride, grey):
    return drops(score, image, window, stride, grey, copy=False)


def in_place(score, image, window, stride, grey):
    image[:window, :window] = grey
    return drops(score, image, window, stride, grey)


def black(score, image, window, stride, grey):
    return drops(score, image, window, stride, 0.0)


def mean_colour(score, image, window, stride, grey):
    return drops(score, image, window, stride, image.mean())


def border_left_out(score, image, window, stride, grey):
    return drops(score, image, window, stride, grey, count=lambda side, w, s: (side - w) // s + 1)


def no_stride(score, image, window, stride, grey):
    return drops(score, image, window, 1, grey)


def first_channel(score, image, window, stride, grey):
    def hide(version, rows, cols):
        version[rows, cols, 0] = grey

    return drops(score, image, window, stride, grey, hide=hide)


def exchanged(score, image, window, stride, grey):
    return drops(score, image, window, stride, grey).T


def all_but_the_window(score, image, window, stride, grey):
    def hide(version, rows, cols):
        kept = version[rows, cols].copy()
        version[:] = grey
        version[rows, cols] = kept

    return drops(score, image, window, stride, grey, hide=hide)


def no_batch(score, image, window, stride, grey):
    return score(image) - drops(score, image, window, stride, grey)


def relative(score, image, window, stride, grey):
    return drops(score, image, window, stride, grey) / score(image[None])[0]


def every_pixel(score, image, window, stride, grey):
    """A window around every pixel."""
    return drops(score, image, window, 1, grey, count=lambda side, w, s: side)


OCCLUSION_MAP = {
    scores: "of the score itself",
    sign: "with the sign turned around",
    not_restored: "where earlier windows stay hidden",
    in_place: "Arguments are not to be changed",
    black: "where windows are hidden in black",
    mean_colour: "where windows are hidden in the mean of the image",
    border_left_out: "where windows that reach over the border are left out",
    no_stride: "with a stride of 1",
    first_channel: "where only the first channel is hidden",
    exchanged: "where rows and columns of the map are exchanged",
    all_but_the_window: "where everything but the window is hidden",
    no_batch: "score was given shape (4, 4, 1): expected (N, 4, 4, 1)",
    relative: "relative to the score of the whole image",
    every_pixel: "drops has shape [4, 4]: expected [2, 2]",
}

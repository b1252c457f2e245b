"""Exercise 8: an occlusion map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import jax
import numpy as np

from convnet.exercises.exercise import Case, Exercise, Mistake, fixed

if TYPE_CHECKING:  # Flax loads with them
    from convnet.analysis import View

LABEL = 1


@dataclass(frozen=True)
class Score:
    """What a small network of random weights says of images [N, H, W, C]: a class's logit, [N]."""

    shape: tuple[int, int, int]

    def __call__(self, images) -> np.ndarray:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"score was given shape {images.shape}: expected (N, {', '.join(map(str, self.shape))})")
        hidden, logits = weights(self.shape)
        return np.tanh(images.reshape(len(images), -1) @ hidden["kernel"] + hidden["bias"]) @ logits["kernel"][:, LABEL]


@cache
def weights(shape: tuple[int, int, int]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of two dense layers, a tanh between them."""
    rng, pixels = np.random.default_rng(8), int(np.prod(shape))
    hidden = {"kernel": fixed(rng.normal(size=(pixels, 6)) / 2), "bias": fixed(rng.normal(size=6) / 4)}
    return hidden, {"kernel": fixed(rng.normal(size=(6, 2))), "bias": fixed(np.zeros(2))}


@cache
def network(shape: tuple[int, int, int]) -> View:
    """The same, as the library sees a network."""
    from convnet import models
    from convnet.analysis import View
    from convnet.architectures import Table
    from convnet.architectures.layers import Activation, Dense, Flatten

    table = Table((Flatten(), Dense("hidden", 6), Activation("tanh", "tanh")))
    hidden, logits = weights(shape)
    return View.of_module(models.build(table, num_classes=2), {"params": {"hidden": hidden, "logits": logits}}, shape)


def _cases() -> list[Case]:
    rng = np.random.default_rng(80)

    def case(name, shape, window, stride, grey):
        return Case(name, (Score(shape), fixed(rng.uniform(size=shape)), window, stride, grey))

    return [
        case("an image of 4×4, windows of 2×2 side by side, black", (4, 4, 1), 2, 2, 0.0),
        case("every place: stride 1", (4, 4, 1), 2, 1, 0.0),
        case("grey, 0.5", (4, 4, 1), 2, 2, 0.5),
        case("an image of 5×7 in three colours", (5, 7, 3), 3, 2, 0.25),
        case("the last windows reach over the border", (5, 7, 3), 3, 3, 0.25),
        case("one window hides all", (4, 4, 1), 4, 1, 0.5),
    ]


def _map(score, image, window, stride, grey):
    from convnet.analysis import occlusion

    with jax.enable_x64(False):  # it computes in float32 in any case, and so is compiled once
        image = image.astype(np.float32)[None]
        found = occlusion(network(score.shape), image, [LABEL], window=window, stride=stride, baseline=grey)
    return found.logit_drop[0]


def _scores(score, image, window, stride, grey, *, hide=None, fit=False):
    """The score of each hidden version, by loops. hide(version, rows, columns): in the place of the right way. fit:
    whether windows that reach over the border are left out."""
    sides = image.shape[:2]
    counts = [(side - window) // stride + 1 if fit else 1 - (-(side - window) // stride) for side in sides]
    versions = []
    for i, j in np.ndindex(*counts):
        version, at = np.array(image), (slice(i * stride, i * stride + window), slice(j * stride, j * stride + window))
        version[at] = grey
        versions.append(version if hide is None else hide(np.array(image), *at))
    return score(np.stack(versions)).reshape(counts)


def _drop(score, image, *args, **changes):
    return score(image[None])[0] - _scores(score, image, *args, **changes)


def _kept(image, grey):
    def hide(version, rows, cols):
        shown = np.full_like(version, grey)
        shown[rows, cols] = version[rows, cols]
        return shown

    return hide


def _first_channel(grey):
    def hide(version, rows, cols):
        version[rows, cols, 0] = grey
        return version

    return hide


def _all_so_far(image, grey):
    hidden = np.array(image)

    def hide(version, rows, cols):
        hidden[rows, cols] = grey
        return np.array(hidden)

    return hide


EXERCISE = Exercise(
    number=8,
    title="an occlusion map",
    function="occlusion_map",
    results=("drops",),
    draw=_cases,
    solution=_map,
    plain=lambda *args: _drop(*args),
    reference="convnet.analysis.occlusion",
    home="convnet/analysis/occlusion.py",
    mistakes=(
        Mistake(
            "of the score itself: a map of drops says how much lower it is than that of the whole image",
            lambda right, *args: _scores(*args),
        ),
        Mistake("with the sign turned around: a drop is positive", lambda right, *args: -_drop(*args)),
        Mistake(
            "where earlier windows stay hidden: each version starts from the whole image again",
            lambda right, f, x, w, s, grey: _drop(f, x, w, s, grey, hide=_all_so_far(x, grey)),
        ),
        Mistake(
            "where everything but the window is hidden",
            lambda right, f, x, w, s, grey: _drop(f, x, w, s, grey, hide=_kept(x, grey)),
        ),
        Mistake(
            "where only the first channel is hidden",
            lambda right, f, x, w, s, grey: _drop(f, x, w, s, grey, hide=_first_channel(grey)),
        ),
        Mistake("where windows are hidden in black, not in grey", lambda right, f, x, w, s, g: _drop(f, x, w, s, 0.0)),
        Mistake("where windows are hidden in white, not in grey", lambda right, f, x, w, s, g: _drop(f, x, w, s, 1.0)),
        Mistake(
            "where windows are hidden in the mean of the image",
            lambda right, f, x, w, s, g: _drop(f, x, w, s, x.mean()),
        ),
        Mistake(
            "where windows that reach over the border are left out: every pixel has to be hidden once",
            lambda right, *args: _drop(*args, fit=True),
        ),
        Mistake("with a stride of 1", lambda right, f, x, w, s, grey: _drop(f, x, w, 1, grey)),
        Mistake("where windows are as far apart as they are wide", lambda right, f, x, w, s, g: _drop(f, x, w, w, g)),
        Mistake("where rows and columns of the map are exchanged", lambda right, *args: _drop(*args).T),
        Mistake("relative to the score of the whole image", lambda right, f, x, *a: _drop(f, x, *a) / f(x[None])[0]),
        Mistake("of absolute values: hiding may help, too", lambda right, *args: abs(_drop(*args))),
    ),
)

"""Do kernels set by hand find edges and blur, and does gradient descent find such kernels from examples?

    python experiments/claims/kernels_by_hand_and_learned.py        70 seconds

Yes, with a condition: of 100 random starts all find [1, −1], Sobel's kernel and a Gaussian to within 10⁻³, in some
hundred steps from noise and in ten times as many from a photograph; two layers in a stack are found as the one kernel
that they are together, but never as the two that they were. By hand, a blur before Sobel's kernel finds all but the
whole edge of a disc in noise, 38 points more than without.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy import ndimage
from skimage import color
from skimage import data as photographs

from convnet import HAND
from convnet.claims import Claim, Effort, Evidence, Finding, counted, exact, mean_of, run_claim
from convnet.report import Picture
from convnet.report.figures.panels import bare, colour

CLAIM = Claim(
    number=7,
    title="Small kernels find edges and blur, and can be learned",
    says="A kernel set by hand finds edges or blurs, and gradient descent on the squared error recovers such a kernel "
    "from pairs of inputs and outputs to within 10⁻³.",
    source="Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, sections 7.2.3 and 7.2.4; "
    "Canny, IEEE PAMI 1986, 'A computational approach to edge detection'",
)
ROUNDING, LEARNED = 1e-12, 1e-3
DIFFERENCE = np.array([[1.0, -1.0]])
SOBEL = np.outer([1.0, 2.0, 1.0], [1.0, 0.0, -1.0]) / 8
GAUSSIAN = np.outer(*2 * [np.exp(-0.5 * np.arange(-2, 3) ** 2)]) / np.exp(-0.5 * np.arange(-2, 3) ** 2).sum() ** 2
SMALL_BLUR = np.outer(*2 * [[1.0, 2.0, 1.0]]) / 16


def filtered(images, kernel) -> jax.Array:
    """[N, H, W], without what padding touches."""
    return HAND.conv2d(images[..., None], kernel[..., None, None], padding="VALID")[..., 0]


# --- by hand --------------------------------------------------------------------------------------------------------


def by_hand(noises: Sequence[int]) -> list[Finding]:
    bars = np.ones((1, 6, 8))
    bars[:, :, 2:6] = 0
    at = np.zeros((1, 6, 7))
    at[:, :, 1], at[:, :, 5] = 1, -1
    worst = 0.0
    for photograph in (photographs.camera(), photographs.coins(), color.rgb2gray(photographs.chelsea())):
        grey = np.asarray(photograph, np.float64)
        for kernel in (SOBEL, GAUSSIAN):
            margin = len(kernel) // 2
            theirs = ndimage.correlate(grey, kernel)[margin:-margin, margin:-margin]
            worst = max(worst, float(np.abs(filtered(grey[None], kernel)[0] - theirs).max() / np.abs(theirs).max()))
    sharp, blurred = np.transpose([[edges_found(seed, blur) for blur in (0, 2)] for seed in noises])
    return [
        Finding("[1, −1] on a black bar: 1 and −1 at its edges and 0 elsewhere, largest difference",
                exact(np.abs(filtered(bars, DIFFERENCE) - at).max()), most=0),
        Finding("Sobel and Gaussian kernels on three photographs: largest relative difference to SciPy",
                exact(worst), most=ROUNDING),
        Finding("a blurred disc in noise of half its strength: 9 of 10 of the strongest Sobel answers lie at its edge",
                counted((blurred >= 0.9).sum(), len(blurred), "draws of noise"), least=0.9),
        Finding("share of those answers that lie at its edge: with the blur minus without",
                mean_of(blurred - sharp, "draws of noise"), least=0),
    ]  # fmt: skip


def edges_found(seed: int, blur: float, side: int = 96, radius: float = 30.0) -> float:
    """Share of the strongest answers, as many as the circle has pixels, that lie within 2 pixels of it. The noise is
    half as strong as the edge."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.hypot(y, x)
    image = (distance < radius) + 0.5 * np.random.default_rng(seed).normal(size=(side, side))
    if blur:
        taps = np.exp(-0.5 * (np.arange(-6, 7) / blur) ** 2)
        image = np.asarray(HAND.conv2d(image[None, ..., None], np.outer(taps, taps)[..., None, None]))[0, ..., 0]
    strength = np.hypot(*(filtered(image[None], kernel)[0] for kernel in (SOBEL, SOBEL.T)))
    inside = slice(6, -6)  # there is an edge where padding begins
    strength, near = strength[inside, inside], np.abs(distance[1:-1, 1:-1] - radius)[inside, inside] <= 2
    strongest = np.argsort(strength.ravel())[-int(2 * np.pi * radius) :]
    return float(near.ravel()[strongest].mean())


# --- learned --------------------------------------------------------------------------------------------------------


def together(kernels: Sequence[jax.Array]) -> jax.Array:
    """The one kernel that correlates as `kernels` do one after the other."""
    (first, *others) = kernels
    for kernel in others:
        pad = tuple((side - 1, side - 1) for side in kernel.shape)
        first = HAND.convolve2d(first[None, ..., None], kernel[..., None, None], padding=pad)[0, ..., 0]
    return first


def through(images: jax.Array, kernels: Sequence[jax.Array]) -> jax.Array:
    for kernel in kernels:
        images = filtered(images, kernel)
    return images


@partial(jax.jit, static_argnames="steps")
def learn(images: jax.Array, targets: Sequence[jax.Array], keys: jax.Array, steps: int):
    """Random starts of kernels, what they become that are to do what `targets` do, both [R, …] each, and [R, steps] the
    largest error of what they do together: Adam on the mean squared error, its rate falling from 0.03 to 0."""
    wanted = through(images, targets)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, steps))

    def loss(kernels):
        return HAND.squared_error(through(images, kernels), wanted).mean() / wanted[0].size

    def step(state, _):
        kernels, momenta = state
        updates, momenta = optimizer.update(jax.grad(loss)(kernels), momenta)
        kernels = optax.apply_updates(kernels, updates)
        return (kernels, momenta), jnp.abs(together(kernels) - together(targets)).max()

    def run(key):
        drawn = zip(jax.random.split(key, len(targets)), targets, strict=True)
        start = [0.5 * jax.random.normal(each, target.shape) for each, target in drawn]
        (kernels, _), errors = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
        return start, kernels, errors

    return jax.vmap(run)(keys)


def inputs() -> dict[str, np.ndarray]:
    """[4, 16, 16] each, of mean 0 and deviation 1, but for the bars."""
    bars = np.ones((4, 6, 8))
    bars[:, :, 2:6] = 0
    noise = np.random.default_rng(0).normal(size=(4, 16, 16))
    camera = np.asarray(photographs.camera(), float)
    cut = np.stack([camera[y : y + 16, x : x + 16] for y, x in ((100, 200), (150, 300), (300, 260), (420, 60))])
    return {"bars": bars, "noise": noise, "a photograph": (cut - cut.mean()) / cut.std()}


TASKS = {
    ("[1, −1]", "bars"): (1000, [DIFFERENCE]),
    ("Sobel", "noise"): (1000, [SOBEL]),
    ("Gaussian", "noise"): (1000, [GAUSSIAN]),
    ("two layers together", "noise"): (12000, [SMALL_BLUR, SOBEL]),
    ("Gaussian", "a photograph"): (12000, [GAUSSIAN]),
}
"""What is learned, from what -> steps, true kernels."""


def learned(effort: Effort):
    """Task -> start, kernels, errors of `learn`."""
    seeds, given = effort.starts(100, 3), inputs()
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    found = {}
    for task in list(TASKS)[:: effort.pick(1, 3)]:
        steps, targets = TASKS[task]
        targets = [jnp.asarray(target, jnp.float32) for target in targets]
        images = jnp.asarray(given[task[1]], jnp.float32)
        found[task] = learn(images, targets, keys, effort.pick(steps, 50))
    return found


def scaled_error(kernels: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[R]: the largest error of each kernel [R, …] after the scale that suits it best."""
    scale = (kernels * target).sum((1, 2)) / np.maximum((kernels**2).sum((1, 2)), 1e-30)
    return np.abs(kernels * scale[:, None, None] - target).max(axis=(1, 2))


def findings_of(found) -> list[Finding]:
    findings = []
    for (name, images), (_, kernels, errors) in found.items():
        targets, errors = TASKS[name, images][1], np.asarray(errors)[:, -1]
        share = counted((errors <= LEARNED).sum(), len(errors), "seeds")
        findings.append(Finding(f"{name}: learned from {images} to within 10⁻³", share, least=0.95,
                                condition=images == "a photograph"))  # fmt: skip
        if len(targets) > 1:
            own = [scaled_error(np.asarray(k), t) <= LEARNED for k, t in zip(kernels, targets, strict=True)]
            share = counted(np.logical_and(*own).sum(), len(errors), "seeds")
            findings.append(Finding("each of the two layers is the true one, up to its scale, to within 10⁻³", share,
                                    least=0.95, condition=True))  # fmt: skip
    return findings


# --- pictures -------------------------------------------------------------------------------------------------------


def photograph_picture() -> Picture:
    grey = np.asarray(photographs.camera(), np.float64)[40:400, 60:420] / 255
    wide = np.exp(-0.5 * (np.arange(-9, 10) / 3) ** 2)
    across, down = (np.asarray(filtered(grey[None], kernel)[0]) for kernel in (SOBEL, SOBEL.T))
    panels = {"photograph": grey, "Gaussian, σ = 3": filtered(grey[None], np.outer(wide, wide) / wide.sum() ** 2)[0],
              "Sobel across": across, "Sobel down": down, "strength of both": np.hypot(across, down)}  # fmt: skip
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 5), panels.items(), strict=True):
        signed = title.startswith("Sobel")
        high = 1 if title in list(panels)[:2] else 0.3
        axes.imshow(values, cmap="RdBu" if signed else "gray", vmin=-high if signed else 0, vmax=high)
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    return Picture(
        "kernels set by hand", figure,
        alt="A man with a camera on a tripod: as it is, blurred, and as bright outlines where the brightness changes.",
        caption="scikit-image's photograph of a cameraman under kernels set by hand. Red and blue: darker or brighter "
        "to the left of, or above, a pixel than to the right, or below.",
        of_images=True,
    )  # fmt: skip


def learning_picture(found) -> Picture:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for i, ((name, images), (*_, errors)) in enumerate(found.items()):
        low, middle, high = np.quantile(errors, (0.05, 0.5, 0.95), axis=0)
        steps = np.arange(1, len(middle) + 1)
        axes.plot(steps, middle, color=colour(i), label=f"{name}, from {images}")
        axes.fill_between(steps, low, high, color=colour(i), alpha=0.2, linewidth=0)
    axes.axhline(LEARNED, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="step of Adam", ylabel="largest error of an entry of the kernel")
    axes.set_ylim(1e-8, 10)
    axes.legend(frameon=False, fontsize=9)
    bare(axes)
    seeds = len(errors)
    return Picture(
        "kernels learned", figure,
        alt="Errors that fall by several powers of ten, of two layers and from a photograph ten times as late.",
        caption=f"Median and 5 to 95 % of {seeds} random starts; of two layers, the kernel that both are together. If "
        "kernels could not be learned, the curves would end above the black line.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    with jax.enable_x64(True):
        hand = by_hand(range(effort.pick(40, 2)))
        pictures = [photograph_picture()]
    found = learned(effort)
    return Evidence(
        findings=[*hand, *findings_of(found)],
        pictures=[*pictures, learning_picture(found)],
        text="Neighbouring pixels of a photograph are nearly equal, so many kernels explain it nearly as well, and it "
        "takes longer to tell them apart. Two layers are found as one: which of them does what is not determined.",
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))

"""Is what networks call convolution a cross-correlation, and how large is what comes out?

    python experiments/claims/convolution_is_flipped_cross_correlation.py        20 seconds

Yes: conv2d equals NumPy's and SciPy's correlation, convolve2d their convolution, to 10⁻¹⁵ with padding, stride and
dilation, too. The formula for the number of places holds in all of 17,933 settings, counted one by one, and in 1,000 as
JAX traces them; SAME padding gives ⌈n / s⌉ places in all.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import signal

from convnet import HAND
from convnet.claims import Claim, Effort, Evidence, Finding, exact, run_claim
from convnet.ops import windows
from convnet.report import Picture, Section

CLAIM = Claim(
    number=6,
    title="Networks cross-correlate; convolution flips the kernel; n − k + 1 places remain",
    says="What networks call convolution slides the kernel as it is, which is cross-correlation; the mathematician's "
    "convolution is the same with the kernel rotated by 180°. An input of n and a kernel of k leave n − k + 1 places, "
    "and with padding p on each side, stride s and dilation d there are ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1.",
    source="Dumoulin & Visin, 'A guide to convolution arithmetic for deep learning', arXiv:1603.07285, 2016; "
    "Goodfellow, Bengio & Courville, 'Deep Learning', MIT Press 2016, section 9.1",
)
ROUNDING = 1e-12
"""Relative, of sums of some hundred terms in float64, whose ε is 2·10⁻¹⁶."""


def apart(ours, theirs) -> float:
    """Largest difference, relative to the largest value; infinite where shapes differ."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max()) if ours.shape == theirs.shape else np.inf


def plain(op, image: np.ndarray, kernel: np.ndarray, padding="VALID", **options) -> np.ndarray:
    """Of an image [H, W] and a kernel [KH, KW] without channels."""
    return np.asarray(op(image[None, ..., None], kernel[..., None, None], padding=padding, **options))[0, ..., 0]


# --- values ---------------------------------------------------------------------------------------------------------


def against_libraries(seed: int) -> tuple[float, float, float]:
    """How far we are from NumPy in 1-D and SciPy in 2-D, and two convolutions from one with the kernels convolved."""
    rng = np.random.default_rng(seed)
    n, k = (int(v) for v in (rng.integers(8, 40), rng.integers(1, 8)))
    line, taps = rng.normal(size=n), rng.normal(size=k)
    image, kernel, second = rng.normal(size=(n, n + 3)), rng.normal(size=(k, k + 1)), rng.normal(size=(3, 2))

    one = max(
        apart(plain(HAND.conv2d, line[None], taps[None])[0], np.correlate(line, taps, "valid")),
        apart(plain(HAND.convolve2d, line[None], taps[None])[0], np.convolve(line, taps, "valid")),
    )
    full = tuple((side - 1, side - 1) for side in kernel.shape)
    two = max(
        apart(plain(HAND.conv2d, image, kernel), signal.correlate2d(image, kernel, "valid")),
        apart(plain(HAND.convolve2d, image, kernel), signal.convolve2d(image, kernel, "valid")),
        apart(plain(HAND.convolve2d, image, kernel, full), signal.convolve2d(image, kernel, "full")),
        apart(plain(HAND.conv2d, image, kernel), plain(HAND.convolve2d, image, kernel[::-1, ::-1])),
    )
    twice = plain(HAND.convolve2d, plain(HAND.convolve2d, image, kernel), second)
    return one, two, apart(twice, plain(HAND.convolve2d, image, signal.convolve2d(kernel, second)))


# --- sizes ----------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """Of one axis: size, kernel, padding on each side, stride, dilation."""

    n: int
    k: int
    p: int
    s: int
    d: int

    @property
    def formula(self) -> int:
        return (self.n + 2 * self.p - self.d * (self.k - 1) - 1) // self.s + 1

    @property
    def counted(self) -> int:
        """By trying every place."""
        padded, span = self.n + 2 * self.p, self.d * (self.k - 1) + 1
        return sum(at + span <= padded for at in range(0, padded, self.s))

    @property
    def options(self) -> dict[str, int]:
        return {"stride": self.s, "padding": self.p, "dilation": self.d}


def settings(count: int) -> list[Setting]:
    """Those of so many drawn with seed 0 in which a kernel fits."""
    rng = np.random.default_rng(0)
    drawn = rng.integers((1, 1, 0, 1, 1), (65, 10, 6, 6, 5), (count, 5))
    return [setting for setting in (Setting(*row) for row in drawn.tolist()) if setting.counted > 0]


def of_windows(setting: Setting) -> bool:
    """Whether window arithmetic, the formula and counting agree."""
    rows, _ = windows((setting.n, setting.n), setting.k, **setting.options)
    return setting.formula == setting.counted == rows.output


def of_same(setting: Setting) -> bool:
    rows, _ = windows((setting.n, setting.n), setting.k, **setting.options | {"padding": "SAME"})
    return rows.output == -(-setting.n // setting.s)


def of_trace(setting: Setting) -> bool:
    """The shape that JAX finds without computing."""
    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, 1, setting.n, 1), (1, setting.k, 1, 1)))
    options = {"stride": setting.s, "padding": (0, setting.p), "dilation": setting.d}
    return jax.eval_shape(partial(HAND.conv2d, **options), x, w).shape[2] == setting.formula


def from_scipy(setting: Setting) -> float:
    """How far values are from SciPy's: padded with zeros, the kernel too between its entries, then every s-th place."""
    rng = np.random.default_rng(setting)
    image, kernel = rng.normal(size=(setting.n,) * 2), rng.normal(size=(setting.k,) * 2)
    spread = np.zeros((setting.d * (setting.k - 1) + 1,) * 2)
    spread[:: setting.d, :: setting.d] = kernel
    theirs = signal.correlate2d(np.pad(image, setting.p), spread, "valid")[:: setting.s, :: setting.s]
    return apart(plain(HAND.conv2d, image, kernel, **setting.options), theirs)


# --- pictures -------------------------------------------------------------------------------------------------------


def picture() -> Picture:
    """A kernel that is no mirror image of itself meets a single bright pixel."""
    impulse, kernel = np.zeros((7, 7)), np.array([[1.0, 0.8, 0.6], [0.4, 0, 0], [0.2, 0, 0]])
    impulse[3, 3] = 1
    correlated, convolved = (plain(op, impulse, kernel, "SAME") for op in (HAND.conv2d, HAND.convolve2d))
    panels = {
        "image: one bright pixel": impulse,
        "kernel": kernel,
        "cross-correlation\n(conv2d): rotated by 180°": correlated,
        "convolution\n(convolve2d): the kernel itself": convolved,
    }
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        axes.imshow(values, cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    return Picture(
        "one bright pixel", figure,
        alt="A letter Γ as kernel; correlation paints it upside down around the bright pixel, convolution as it is.",
        caption="The answer to a single pixel shows the kernel: as it is for the convolution of mathematics, rotated "
        "for the cross-correlation of networks. If both were one, the two pictures on the right would be equal.",
        of_images=True,
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    seeds, drawn = range(effort.pick(15, 1)), settings(effort.pick(20_000, 300))
    traced, computed = drawn[: effort.pick(1000, 20)], drawn[: effort.pick(60, 2)]
    with jax.enable_x64(True):
        one, two, twice = np.max([against_libraries(seed) for seed in seeds], axis=0)
        general = max(map(from_scipy, computed))
        pictures = [picture()]
    values = [
        ("1-D: conv2d is np.correlate, convolve2d is np.convolve", one),
        ("2-D: SciPy's, and each other with the kernel rotated by 180°", two),
        ("convolving twice = once, with the kernels convolved", twice),
        (f"padding, stride and dilation: SciPy's, {len(computed)} settings", general),
    ]
    wrong = [
        (f"⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1 places, as counted one by one: failures in {len(drawn):,} settings",
         sum(not of_windows(setting) for setting in drawn)),
        (f"the same in the shapes that JAX traces: failures in {len(traced):,} settings",
         sum(not of_trace(setting) for setting in traced)),
        (f"with SAME padding ⌈n / s⌉ places, whatever the kernel: failures in {len(drawn):,} settings",
         sum(not of_same(setting) for setting in drawn)),
    ]  # fmt: skip
    examples = [Setting(28, 5, 0, 1, 1), Setting(28, 5, 2, 1, 1), Setting(224, 7, 3, 2, 1), Setting(28, 3, 0, 1, 2)]
    rows = [[*map(str, setting), str(setting.counted)] for setting in examples]
    head = ["size n", "kernel k", "padding p", "stride s", "dilation d", "places"]
    return Evidence(
        findings=[Finding(f"{name}: largest relative difference", exact(v), most=ROUNDING) for name, v in values]
        + [Finding(name, exact(number), most=0) for name, number in wrong],
        pictures=pictures,
        tables=[Section("Sizes, for example", table=[head, *rows])],
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))

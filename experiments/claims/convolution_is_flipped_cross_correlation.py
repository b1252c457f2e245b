"""Is what networks call convolution a cross-correlation, and how large is what comes out?

    python experiments/claims/convolution_is_flipped_cross_correlation.py        20 seconds

Yes: conv2d equals NumPy's and SciPy's correlation, convolve2d their convolution, to 10⁻¹⁵ with padding, stride and
dilation, too. The formula for the number of places holds in all of 17,933 settings, counted one by one, and in 1,000 as
JAX traces them; SAME padding gives ⌈n / s⌉ places in all.
"""

import sys
from functools import partial

import jax
import numpy as np
from scipy import signal

from convnet import HAND
from convnet.claims import Claim, Effort, Evidence, apart, at_most, run_claim
from convnet.ops import windows
from convnet.report import Picture, Section, figures

CLAIM = Claim(
    number=6,
    title="Networks cross-correlate; convolution flips the kernel; n − k + 1 places remain",
    says="What networks call convolution slides the kernel as it is, which is cross-correlation; the mathematician's "
    "convolution is the same with the kernel rotated by 180°. An input of n and a kernel of k leave n − k + 1 places, "
    "and with padding p on each side, stride s and dilation d there are ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1.",
    source="Dumoulin & Visin, 'A guide to convolution arithmetic for deep learning', arXiv:1603.07285, 2016; "
    "Goodfellow, Bengio & Courville, 'Deep Learning', MIT Press 2016, section 9.1",
)
ROUNDING = 1e-12  # relative, of sums of some hundred terms in float64, whose ε is 2·10⁻¹⁶


def plain(op, image: np.ndarray, kernel: np.ndarray, padding="VALID", **options) -> np.ndarray:
    """Of an image [H, W] and a kernel [KH, KW] without channels."""
    return np.asarray(op(image[None, ..., None], kernel[..., None, None], padding=padding, **options))[0, ..., 0]


correlated, convolved = partial(plain, HAND.conv2d), partial(plain, HAND.convolve2d)


def against_libraries(seed: int) -> tuple[float, float, float]:
    """How far we are from NumPy in 1-D and SciPy in 2-D, and two convolutions from one with the kernels convolved."""
    rng = np.random.default_rng(seed)
    n, k = (int(v) for v in (rng.integers(8, 40), rng.integers(1, 8)))
    line, taps = rng.normal(size=(1, n)), rng.normal(size=(1, k))
    image, kernel, second = rng.normal(size=(n, n + 3)), rng.normal(size=(k, k + 1)), rng.normal(size=(3, 2))
    one = max(
        apart(correlated(line, taps)[0], np.correlate(line[0], taps[0], "valid")),
        apart(convolved(line, taps)[0], np.convolve(line[0], taps[0], "valid")),
    )
    two = max(
        apart(correlated(image, kernel), signal.correlate2d(image, kernel, "valid")),
        apart(convolved(image, kernel), signal.convolve2d(image, kernel, "valid")),
        apart(convolved(image, kernel, ((k - 1, k - 1), (k, k))), signal.convolve2d(image, kernel, "full")),
        apart(correlated(image, kernel), convolved(image, kernel[::-1, ::-1])),
    )
    twice = convolved(convolved(image, kernel), second)
    return one, two, apart(twice, convolved(image, signal.convolve2d(kernel, second)))


def places(settings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the formula, and by trying each: of settings [N, 5] of one axis, n, k, p, s, d."""
    n, k, p, s, d = np.transpose(settings)
    at = np.arange((n + 2 * p).max())[:, None]
    return (n + 2 * p - d * (k - 1) - 1) // s + 1, ((at % s == 0) & (at + d * (k - 1) + 1 <= n + 2 * p)).sum(axis=0)


def by_trace(n: int, k: int, p: int, s: int, d: int) -> int:
    """The shape that JAX finds without computing."""
    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, 1, n, 1), (1, k, 1, 1)))
    return jax.eval_shape(partial(HAND.conv2d, stride=s, padding=(0, p), dilation=d), x, w).shape[2]


def from_scipy(n: int, k: int, p: int, s: int, d: int) -> float:
    """How far values are from SciPy's: padded with zeros, the kernel too between its entries, then every s-th place."""
    rng, spread = np.random.default_rng((n, k, p, s, d)), np.zeros((d * (k - 1) + 1,) * 2)
    image, kernel = rng.normal(size=(n, n)), rng.normal(size=(k, k))
    spread[::d, ::d] = kernel
    theirs = signal.correlate2d(np.pad(image, p), spread, "valid")[::s, ::s]
    return apart(correlated(image, kernel, p, stride=s, dilation=d), theirs)


def picture() -> Picture:
    """A kernel that is no mirror image of itself meets a single bright pixel."""
    impulse, kernel = np.pad([[1.0]], 3), np.array([[1.0, 0.8, 0.6], [0.4, 0, 0], [0.2, 0, 0]])
    panels = {
        "image: one bright pixel": impulse, "kernel": kernel,
        "cross-correlation\n(conv2d): rotated by 180°": correlated(impulse, kernel, "SAME"),
        "convolution\n(convolve2d): the kernel itself": convolved(impulse, kernel, "SAME"),
    }  # fmt: skip
    row = [figures.Image(values, title, low=0, high=1) for title, values in panels.items()]
    return Picture(
        "one bright pixel", figures.images([row], size=(9, 2.8)), of_images=True,
        alt="A letter Γ as kernel; correlation paints it upside down around the bright pixel, convolution as it is.",
        caption="The answer to a single pixel shows the kernel: as it is for the convolution of mathematics, rotated "
        "for the cross-correlation of networks. If both were one, the two pictures on the right would be equal.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    drawn = np.random.default_rng(0).integers((1, 1, 0, 1, 1), (65, 10, 6, 6, 5), (effort.pick(20_000, 300), 5))
    fit = drawn[places(drawn)[1] > 0]
    (formula, counted), fit = places(fit), fit.tolist()
    traced, computed = fit[: effort.pick(1000, 20)], fit[: effort.pick(60, 2)]
    with jax.enable_x64(True):
        one, two, twice = np.max([against_libraries(seed) for seed in range(effort.pick(15, 1))], axis=0)
        general, shown = max(from_scipy(*setting) for setting in computed), picture()
    library = np.array([windows((n, n), k, stride=s, padding=p, dilation=d)[0].output for n, k, p, s, d in fit])
    alike = [windows((n, n), k, stride=s, padding="SAME", dilation=d)[0].output for n, k, _, s, d in fit]
    trace = np.array([by_trace(*each) for each in traced])
    off = "largest relative difference"
    found = at_most(ROUNDING, {
        f"1-D: conv2d is np.correlate, convolve2d is np.convolve: {off}": one,
        f"2-D: SciPy's, and each other with the kernel rotated by 180°: {off}": two,
        f"convolving twice = once, with the kernels convolved: {off}": twice,
        f"padding, stride and dilation: SciPy's, {len(computed)} settings: {off}": general,
    }) + at_most(0, {
        f"⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1 places, as counted one by one: failures in {len(fit):,} settings":
            int(((formula != counted) | (counted != library)).sum()),
        f"the same in the shapes that JAX traces: failures in {len(traced):,} settings":
            int((trace != formula[: len(trace)]).sum()),
        f"with SAME padding ⌈n / s⌉ places, whatever the kernel: failures in {len(fit):,} settings":
            sum(count != -(-n // s) for count, (n, _, _, s, _) in zip(alike, fit, strict=True)),
    })  # fmt: skip
    examples = [(28, 5, 0, 1, 1), (28, 5, 2, 1, 1), (224, 7, 3, 2, 1), (28, 3, 0, 1, 2)]
    rows = [[*map(str, one), str(count)] for one, count in zip(examples, places(examples)[1], strict=True)]
    head = ["size n", "kernel k", "padding p", "stride s", "dilation d", "places"]
    return Evidence(found, [shown], [Section("Sizes, for example", table=[head, *rows])])


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))

"""Signals and images: transforms, filters, scans, interpolation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.signal as jss
import numpy as np

from convnet.gradcheck.evidence.right_functions.right import MODERATE, UNIT, RightFunction, normal, positive, right

LENGTH = 16
WAVE = normal((LENGTH,))


def power_spectrum(x):
    return jnp.abs(jnp.fft.rfft(x)) ** 2


def by_sines(x):
    """The same by the sums that define it."""
    t = np.arange(len(x))
    angle = 2 * np.pi * np.outer(np.arange(len(x) // 2 + 1), t) / len(x)
    return (np.cos(angle) @ x) ** 2 + (np.sin(angle) @ x) ** 2


def lowpass(x):
    spectrum = jnp.fft.rfft(x)
    return jnp.fft.irfft(spectrum * (jnp.arange(len(spectrum)) < 4), len(x))


def spectral_line(frequency, x):
    """How well a sinusoid of a frequency fits."""
    t = np.arange(LENGTH)
    return (x * jnp.cos(frequency * t)).sum() ** 2 + (x * jnp.sin(frequency * t)).sum() ** 2


def lorentzian(centre, width, amplitude, x):
    """A line of which the samples see a few points."""
    return jnp.sum((amplitude * width**2 / ((np.linspace(-1, 1, 41) - centre) ** 2 + width**2) - x) ** 2)


def narrow_line(rng, scale):
    return rng.uniform(-0.5, 0.5), scale, rng.uniform(0.5, 2), 0.1 * rng.standard_normal(41)


def spectral_flatness(x):
    power = power_spectrum(x) + 1e-6
    return jnp.exp(jnp.log(power).mean()) / power.mean()


def mel_energy(x):
    """Logarithms of energies in bands, with the usual floor."""
    bands = np.abs(np.arange(3)[:, None] * 3 + 1 - np.arange(9)) < 2
    return jnp.log(bands @ power_spectrum(x * np.hanning(LENGTH)) + 1e-3)


def stft_energy(x):
    return (jnp.abs(jss.stft(x, nperseg=8)[2]) ** 2).sum(-1)


def frames(x):
    """The same transform by frames and a window."""
    return jnp.abs(jnp.fft.rfft(jnp.stack([x[i : i + 8] for i in range(0, LENGTH - 7, 4)]) * np.hanning(8))) ** 2


def welch(x):
    return jss.welch(x, nperseg=8)[1]


def fast_convolution(x, k):
    return jss.fftconvolve(x, k, mode="same")


def direct_convolution(x, k):
    return jnp.convolve(x, k, mode="same")


def autocorrelation(x):
    spectrum = jnp.fft.rfft(x, 2 * LENGTH)
    return jnp.fft.irfft(spectrum * jnp.conj(spectrum))[:LENGTH].real


def lagged_products(x):
    return jnp.stack([jnp.sum(x[: LENGTH - k] * x[k:]) for k in range(LENGTH)])


def filtered(b, a, x):
    """y[t] = Σ b[k] x[t − k] − Σ a[k] y[t − k], of order 2, as a scan."""

    def step(state, value):
        y = b[0] * value + state[0]
        return jnp.stack([b[1] * value - a[0] * y + state[1], b[2] * value - a[1] * y]), y

    return jax.lax.scan(step, jnp.zeros(2, x.dtype), x)[1]


def numpy_filtered(b, a, x):
    y = np.zeros(LENGTH, np.result_type(b, a, x))
    for t in range(LENGTH):
        y[t] = sum(b[k] * x[t - k] for k in range(3) if t >= k)
        y[t] -= sum(a[k - 1] * y[t - k] for k in (1, 2) if t >= k)
    return y


def filter_draw(rng, scale):
    """Stable: poles well inside the unit circle."""
    radius, angle = rng.uniform(0.3, 0.8), rng.uniform(0.3, 2.5)
    return rng.standard_normal(3), np.array([-2 * radius * np.cos(angle), radius**2]), scale * rng.standard_normal(16)


def moving_average(x):
    return jnp.convolve(x, jnp.ones(5, x.dtype) / 5, mode="valid")


def exponential_average(x, alpha):
    def step(mean, value):
        return (1 - alpha) * mean + alpha * value, (1 - alpha) * mean + alpha * value

    return jax.lax.scan(step, x[0], x)[1]


def linear_recurrence(a, x):
    """h[t] = a[t] h[t − 1] + x[t], by an associative scan, as state space models do it."""

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    return jax.lax.associative_scan(combine, (a, x))[1]


def recurrence_in_order(a, x):
    return jax.lax.scan(lambda h, ax: (ax[0] * h + ax[1],) * 2, jnp.zeros((), x.dtype), (a, x))[1]


def decays(rng, scale):
    return rng.uniform(0.2, 0.98, LENGTH), scale * rng.standard_normal(LENGTH)


def interpolated(x, values):
    return jnp.interp(x, np.linspace(0, 1, 6), values)


def places_and_values(rng, scale):
    """Never within a tenth of a knot's distance of one."""
    cells = rng.integers(5, size=9) + rng.uniform(0.1, 0.9, 9)
    return cells / 5, scale * rng.standard_normal(6)


def warped(image, rows, columns):
    return jax.scipy.ndimage.map_coordinates(image, [rows, columns], order=1)


def image_and_places(rng, scale):
    rows, columns = (rng.integers(4, size=7) + rng.uniform(0.1, 0.9, 7) for _ in range(2))
    return scale * rng.standard_normal((5, 5)), rows, columns


def resized(image):
    return jax.image.resize(image, (7, 9), "bilinear")


def cosine_transform(x):
    return jax.scipy.fft.dct(x, norm="ortho")


def by_cosines(x):
    n = len(x)
    basis = np.cos(np.pi * np.outer(np.arange(n), 2 * np.arange(n) + 1) / (2 * n)) * np.sqrt(2 / n)
    basis[0] /= np.sqrt(2)
    return basis @ x


def haar(x):
    return jnp.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]) / np.sqrt(2)


def envelope(x):
    """Of the analytic signal."""
    keep = np.r_[1, 2 * np.ones(LENGTH // 2 - 1), 1, np.zeros(LENGTH // 2 - 1)]
    return jnp.abs(jnp.fft.ifft(jnp.fft.fft(x) * keep))


def noise_ratio(x, y):
    """Scale-invariant signal-to-noise ratio in decibels."""
    target = (x @ y) / (y @ y) * y
    return 10 * jnp.log10((target @ target) / ((x - target) @ (x - target)))


def total_variation(x):
    return jnp.sum(jnp.sqrt(jnp.diff(x) ** 2 + 1e-6))


def soft_sorted(x):
    """Ranks by differences through a sigmoid."""
    return jax.nn.sigmoid(x[:, None] - x[None, :]).sum(1)


def cumulative_logsumexp(x):
    return jnp.stack([jax.nn.logsumexp(x[: i + 1]) for i in range(LENGTH)])


def chirp(rate, x):
    return jnp.sum(x * jnp.sin(rate * np.arange(LENGTH) ** 2 / 8))


RIGHT: tuple[RightFunction, ...] = (
    right("power spectrum", power_spectrum, WAVE, reference=by_sines, oracle=by_sines),
    right("low-pass by FFT", lowpass, WAVE),
    right("two-dimensional spectrum", lambda x: jnp.abs(jnp.fft.fft2(x)) ** 2, normal((5, 6))),
    right("spectral convergence", lambda x, y: jnp.linalg.norm(jnp.abs(jnp.fft.rfft(x)) - jnp.abs(jnp.fft.rfft(y)))
          / jnp.linalg.norm(jnp.abs(jnp.fft.rfft(y))), normal((16,), (16,))),
    right("one frequency", spectral_line, lambda rng, scale: (rng.uniform(0.3, 2.8), scale * rng.standard_normal(16))),
    right("a spectral line", lorentzian, narrow_line, (0.3, 0.03, 1e-3)),
    right("spectral flatness", spectral_flatness, WAVE),
    right("mel energies", mel_energy, WAVE),
    right("stft", stft_energy, WAVE),
    right("frames", frames, WAVE),
    right("welch", welch, WAVE),
    right("fftconvolve", fast_convolution, normal((16,), (5,)), reference=direct_convolution),
    right("convolve", direct_convolution, normal((16,), (5,)), oracle=lambda x, k: np.convolve(x, k, "same")),
    right("correlate", lambda x, k: jnp.correlate(x, k, mode="valid"), normal((16,), (5,)),
          reference=lambda x, k: jnp.stack([x[i : i + 5] @ k for i in range(12)])),
    right("convolve2d", lambda x, k: jss.convolve2d(x, k, mode="same"), normal((6, 7), (3, 3))),
    right("autocorrelation", autocorrelation, WAVE, reference=lagged_products),
    right("cumsum", jnp.cumsum, WAVE, oracle=np.cumsum),
    right("cumprod", jnp.cumprod, normal((8,)), MODERATE, oracle=np.cumprod),
    right("cummax", lambda x: jax.lax.cummax(x), WAVE),
    right("cumlogsumexp", lambda x: jax.lax.cumlogsumexp(x), WAVE, reference=cumulative_logsumexp),
    right("lfilter", filtered, filter_draw, oracle=numpy_filtered),
    right("moving average", moving_average, WAVE),
    right("exponential average", exponential_average, lambda rng, scale: (scale * rng.standard_normal(16), 0.3)),
    right("linear recurrence", linear_recurrence, decays, reference=recurrence_in_order),
    right("interp", interpolated, places_and_values),
    right("map_coordinates", warped, image_and_places),
    right("resize", resized, normal((4, 5))),
    right("dct", cosine_transform, WAVE, reference=by_cosines, oracle=by_cosines),
    right("Haar wavelets", haar, WAVE, oracle=lambda x: np.r_[x[::2] + x[1::2], x[::2] - x[1::2]] / np.sqrt(2)),
    right("envelope", envelope, WAVE),
    right("signal-to-noise ratio", noise_ratio, normal((16,), (16,))),
    right("total variation", total_variation, WAVE),
    right("detrend", lambda x: jss.detrend(x), WAVE),
    right("difference", jnp.diff, WAVE, oracle=np.diff),
    right("gradient", jnp.gradient, WAVE, oracle=np.gradient),
    right("trapezoid", lambda y: jnp.trapezoid(y, dx=0.1), WAVE),
    right("polyval", jnp.polyval, lambda rng, scale: (rng.standard_normal(5), scale * rng.standard_normal(6)), MODERATE,
          oracle=lambda p, x: sum(c * x**k for k, c in enumerate(p[::-1]))),
    right("sort", jnp.sort, WAVE),
    right("top_k", lambda x: jax.lax.top_k(x, 3)[0], WAVE),
    right("median", jnp.median, normal((9,))),
    right("soft ranks", soft_sorted, normal((6,))),
    right("chirp", chirp, lambda rng, scale: (rng.uniform(0.1, 2), scale * rng.standard_normal(16))),
    right("mu-law", lambda x: jnp.sign(x) * jnp.log1p(255 * jnp.abs(x)) / np.log(256),
          lambda rng, scale: (np.tanh(scale * rng.standard_normal(16)),), (0.1, 1.0)),
    right("weighted average", lambda x, w: jnp.average(x, weights=w), lambda rng, scale: (
        scale * rng.standard_normal(16), np.exp(rng.standard_normal(16)))),
    right("geometric mean", lambda x: jnp.exp(jnp.log(x).mean()), positive((8,)),
          oracle=lambda x: np.prod(x) ** (1 / 8)),
    right("phase difference", lambda x, y: jnp.angle(jnp.exp(1j * (x - y))), normal((6,), (6,)), UNIT),
)  # fmt: skip

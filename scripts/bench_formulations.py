"""Which formulation of a convolution is the fastest where, and how exact is each?

    python scripts/bench_formulations.py                                  every layer of the op benchmark
    python scripts/bench_formulations.py --cases conv3-64-64-at-32
    python scripts/bench_formulations.py --quick                          a tiny layer: does everything run?

Times every formulation that can compute a layer (interleaved, medians), and measures its rounding error: float32
against the same sums in float64, root mean square, and how many times that of XLA's own convolution it is. Both are of
this machine: XLA chooses its kernels by the processor. (What holds on all of them is a bound: `amplification` in
convnet/ops/formulations/winograd.py.) These are the measurements behind the table in convnet/ops/formulations. Prints
the errors; writes results/<device>/formulations.json and README.md under benchmarks/.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed with the package

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import session, tables
from benchmarks.cases import LAYERS, QUICK_LAYERS, ConvLayer
from benchmarks.command import Output, own_document
from benchmarks.session import chosen
from convnet.cli import run_command
from convnet.config import require
from convnet.ops.formulations import MAPS, ON_CPU, Layer, choose, direct
from convnet.ops.window import windows
from convnet.progress import progress
from convnet.record import check_writable
from convnet.report import text_table

DIRECTIONS = dict(zip(MAPS, ("fwd", "dx", "dw"), strict=True))


@dataclass(frozen=True)
class BenchFormulations(Output):
    """Time every formulation of every layer of the op benchmark, and measure its rounding error."""

    cases: tuple[str, ...] = ()
    """Layers by name, such as conv3-64-64-at-32; all convolutions unless given."""
    batch: int = 128
    """Images."""
    rounds: int = 5
    """Samples of each formulation."""
    seconds: float = 0.15
    """Length of a sample; at least one call."""
    limit: float = 2.0
    """Seconds of one call beyond which a formulation is not timed again."""


def operands(layer: ConvLayer, batch: int, name: str) -> list[np.ndarray]:
    shapes = {"x": layer.image_shape(batch), "w": layer.kernel_shape(), "g": layer.output_shape(batch)}
    rng = np.random.default_rng(0)
    names = {"correlate": "xw", "input_gradient": "gw", "kernel_gradient": "xg"}[name]
    return [rng.standard_normal(shapes[letter], np.float32) for letter in names]


def error(actual, exact) -> float:
    """Root mean square, relative."""
    return float(np.sqrt(np.mean((np.asarray(actual, np.float64) - exact) ** 2) / np.mean(exact**2)))


def measure(case: str, layer: ConvLayer, settings: BenchFormulations, bar: Any) -> list[dict]:
    """One entry per map and formulation that fits."""
    batch = min(settings.batch, 4) if settings.quick else settings.batch
    sides, kernels = (layer.side, layer.side), (layer.kernel, layer.kernel)
    rows, cols = windows(sides, kernels, stride=layer.stride, padding=layer.padding)
    at = Layer(batch, layer.channels, layer.filters, rows, cols, layer.groups)
    places = dict(rows=rows, cols=cols, groups=layer.groups)
    results = []
    for name, table in ON_CPU.items():
        pair = [jnp.asarray(a) for a in operands(layer, batch, name)]
        with jax.enable_x64(True):
            exact = np.asarray(jax.jit(partial(getattr(direct, name), **places))(*(a.astype("float64") for a in pair)))
        forms = {form.name: jax.jit(partial(form.compute, **places)) for form in table if form.fits(at)}
        errors = {form: error(function(*pair), exact) for form, function in forms.items()}
        seconds = timed(forms, pair, settings, bar)
        results += [
            dict(
                case=case,
                label=layer.label,
                direction=DIRECTIONS[name],
                formulation=form,
                chosen=choose(name, at).name == form,
                seconds=seconds[form],
                flops=layer.flops(batch),
                error=errors[form],
                error_over_direct=errors[form] / errors["direct"],
            )
            for form in forms
        ]
        bar.update()
    return results


def timed(forms: dict, pair: list, settings: BenchFormulations, bar: Any) -> dict[str, list[float]]:
    """Seconds per call, samples interleaved."""
    samples: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(min(settings.rounds, 2) if settings.quick else settings.rounds):
        for form, function in forms.items():
            bar.set_postfix_str(form)
            if samples[form] and samples[form][0] > settings.limit:
                continue
            start, calls = time.perf_counter(), 0
            while not calls or time.perf_counter() - start < (0 if settings.quick else settings.seconds):
                function(*pair).block_until_ready()
                calls += 1
            samples[form].append((time.perf_counter() - start) / calls)
    return samples


def errors_table(results: list[dict]) -> list[list[str]]:
    """Formulation × measured error, as a multiple of that of XLA's convolution."""
    rows = [["layer", "direction", "formulation", "error", "error ÷ direct"]]
    for r in results:
        name = f"{r['formulation']}{', chosen' if r['chosen'] else ''}"
        rows.append([r["label"], r["direction"], name, f"{r['error']:.2e}", f"{r['error_over_direct']:.2f}"])
    return rows


def bench_formulations(settings: BenchFormulations) -> None:
    layers = QUICK_LAYERS if settings.quick else LAYERS
    known = {name: layer for name, layer in layers.items() if isinstance(layer, ConvLayer)}
    cases = chosen("cases", settings.cases, tuple(known))
    for name in ("batch", "rounds"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    check_writable(settings.folder)
    document = own_document(settings.rounds)
    with progress(len(cases) * len(MAPS), "map") as bar:
        for case in cases:
            document["results"] += measure(case, known[case], settings, bar)
    print(f"{text_table(errors_table(document['results']))}\n\nof {document['environment']['device']}\n")
    print(f"results: {session.store(document, 'formulations', settings.folder, settings.device_name)}")
    print(f"tables: {tables.write_readme(settings.folder)}")


if __name__ == "__main__":
    sys.exit(run_command(BenchFormulations, bench_formulations))

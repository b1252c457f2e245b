"""Which formulation of a convolution is the fastest where, and how exact is each?

    python -m benchmarks formulations                                  every layer of the op benchmark
    python -m benchmarks formulations --cases conv3-64-64-at-32
    python -m benchmarks formulations --quick                          a tiny layer: does everything run?

Times every formulation that can compute a layer (interleaved, medians), and measures its rounding error: float32
against the same sums in float64, root mean square, and how many times that of XLA's own convolution it is. Both are of
this machine: XLA chooses its kernels by the processor. (What holds on all of them is a bound: `amplification` in
convnet/ops/formulations/winograd.py.) These are the measurements behind the table in convnet/ops/formulations. Prints
the errors; writes results/<device>/formulations.json and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from benchmarks import session, tables
from benchmarks.cases import LAYERS, QUICK_LAYERS, ConvLayer
from benchmarks.command import Output, own_document
from benchmarks.formulations import Question, measure
from benchmarks.session import chosen
from benchmarks.timing import Timing
from convnet.cli import run_command
from convnet.ops.formulations import MAPS
from convnet.progress import progress
from convnet.record import check_writable
from convnet.report import text_table
from convnet.settings import require


@dataclass(frozen=True)
class BenchFormulations(Output):
    """Time every formulation of every layer of the op benchmark, and measure its rounding error."""

    cases: tuple[str, ...] = ()
    """Layers by name, such as conv3-64-64-at-32; all convolutions unless given."""
    batch: int = 128
    """Images."""
    pairs: int = 0
    """Replicates under vmap, each with images and kernels of its own. 0: none."""
    rounds: int = 5
    """Samples of each formulation."""
    seconds: float = 0.15
    """Length of a sample; at least one call."""
    limit: float = 2.0
    """Seconds of one call beyond which a formulation is not timed again."""

    @property
    def timing(self) -> Timing:
        if self.quick:
            return Timing(rounds=min(self.rounds, 2), seconds=1e-3)
        return Timing(self.rounds, self.seconds, self.limit)


def errors_table(results: list[dict]) -> list[list[str]]:
    """Formulation × measured error, as a multiple of that of XLA's convolution."""
    rows = [["layer", "direction", "formulation", "error", "error ÷ direct"]]
    for r in results:
        name = " ".join(filter(None, (r["formulation"], r["way"])))
        name = f"{name}, chosen" if r["chosen"] else name
        rows.append([r["label"], r["direction"], name, f"{r['error']:.2e}", f"{r['error_over_direct']:.2f}"])
    return rows


def bench_formulations(settings: BenchFormulations) -> None:
    layers = QUICK_LAYERS if settings.quick else LAYERS
    known = {name: layer for name, layer in layers.items() if isinstance(layer, ConvLayer)}
    cases = chosen("cases", settings.cases, tuple(known))
    for name in ("batch", "rounds"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    require(settings.pairs >= 0, "pairs", settings.pairs, "0 or more")
    check_writable(settings.folder)
    document: dict[str, Any] = own_document(settings.rounds)
    batch, cpu = min(settings.batch, 4) if settings.quick else settings.batch, jax.default_backend() == "cpu"
    with progress(len(cases) * len(MAPS), "map") as bar:
        for case in cases:
            for name in MAPS:
                question = Question(known[case], name, batch, pairs=settings.pairs)
                found = measure(question, settings.timing, cpu=cpu, on_form=bar.set_postfix_str)
                document["results"] += [{"case": case, **result} for result in found]
                bar.update()
    print(f"{text_table(errors_table(document['results']))}\n\nof {document['environment']['device']}\n")
    print(f"results: {session.store(document, 'formulations', settings.folder, settings.device_name)}")
    print(f"tables: {tables.write_readme(settings.folder)}")


def main(args: Sequence[str]) -> int:
    return run_command(BenchFormulations, bench_formulations, args)

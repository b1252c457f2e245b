"""Which form of a convolution is the fastest here? The measurements behind `ON_ACCELERATORS` of `convnet.ops`."""

from __future__ import annotations

from collections.abc import Iterator

import jax

from benchmarks.cases import LAYERS, QUICK_LAYERS, ConvLayer
from benchmarks.device.document import Document
from benchmarks.formulations import Question
from benchmarks.formulations import measure as measure_question
from benchmarks.timing import Timing
from convnet.ops.formulations import MAPS

PAIRS = {
    "digits, second": (ConvLayer(3, 32, 64, 4), 32),
    "digits, first": (ConvLayer(3, 1, 32, 8), 32),
    "mnist, second": (ConvLayer(3, 32, 64, 14), 128),
    "mnist, first": (ConvLayer(3, 1, 32, 28), 128),
}
"""Layers of the replicated networks with their batches."""
REPLICATES = 64
FIRST = ("depthwise3-64-at-32", "conv1-64-128-at-32-stride2", "conv3-64-128-at-32-stride2")
BATCH = 512
FORMS = ("direct", "patches", "shares", "one_tap", "phases", "depthwise", "taps")
MOST_TAPS = 160
"""Patches are not tried where a window has more elements: they would take so many times the image's memory."""
TIMING, TINY_TIMING = Timing(rounds=5, seconds=0.03), Timing(rounds=1, seconds=1e-3)


def measure(document: Document) -> None:
    for question in _questions(tiny=document.tiny):
        name = f"{question.layer.label} {question.map}, {question.precision}"
        if not document.left:
            document.cut(name)
            continue
        forms = FORMS if question.pairs or _few(question.layer) else tuple(f for f in FORMS if f not in PATCHED)
        cpu, timing = jax.default_backend() == "cpu", TINY_TIMING if document.tiny else TIMING
        print(name, flush=True)
        found = measure_question(question, timing, cpu=cpu, forms=forms, errors=False)
        document.add([{"case": question.layer.label, **result} for result in found])


PATCHED = ("patches", "shares", "taps")


def _few(layer: ConvLayer) -> bool:
    return layer.kernel**2 * layer.channels // layer.groups <= MOST_TAPS


def _questions(*, tiny: bool) -> Iterator[Question]:
    """First where another form than the library's convolution is likeliest to win."""
    if tiny:
        (layer,) = (layer for layer in QUICK_LAYERS.values() if isinstance(layer, ConvLayer))
        yield Question(layer, MAPS[0], 2, pairs=2)
        yield Question(layer, MAPS[0], 2)
        return
    for layer in (LAYERS[name] for name in FIRST):
        for name in MAPS:
            yield Question(layer, name, BATCH, "bfloat16")
    for layer, batch in PAIRS.values():
        for name in MAPS:
            if not (name == "input_gradient" and layer.channels == 1):  # no network asks for it
                yield Question(layer, name, batch, "tf32", REPLICATES)
    for precision in ("bfloat16", "tf32"):
        for key, layer in LAYERS.items():
            if isinstance(layer, ConvLayer) and not (precision == "bfloat16" and key in FIRST):
                for name in MAPS:
                    yield Question(layer, name, BATCH, precision)

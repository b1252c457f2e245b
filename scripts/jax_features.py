"""What of all that JAX offers works with which op? Writes the table in docs/jax_features.md.

python -m scripts.jax_features                            every op under every feature, in minutes
python -m scripts.jax_features --op conv2d relu           two ops; nothing is written
python -m scripts.jax_features --feature vmap debug_nans  two features; nothing is written

Exit code 1 where something fails.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from convnet.cli import run_command
from convnet.gradcheck import suite
from convnet.gradcheck.evidence import EVIDENCE
from convnet.gradcheck.features import FEATURES, Feature, Outcome
from convnet.identity import environment
from convnet.progress import progress
from convnet.record import write_atomically
from convnet.settings import require

PAGE = Path(__file__).resolve().parent.parent / "docs" / "jax_features.md"
SIGNS = {"works": "✓", "fails": "✗", "impossible": "–", "untested": " "}

START, END = "<!-- features: written by scripts/jax_features.py -->", "<!-- end of features -->"


@dataclass(frozen=True)
class JaxFeatures:
    """Run ops under what JAX offers and compare value and gradient with autodiff's."""

    op: tuple[str, ...] = ()
    """Ops. Default: all."""
    feature: tuple[str, ...] = ()
    """Features. Default: all."""


def table(found: Mapping[str, Sequence[Outcome]], features: Sequence[Feature]) -> str:
    """Ops × features, numbered; then why what cannot be had cannot be had."""
    numbers = range(1, len(features) + 1)
    legend = [f"{i}. **{feature.name}**: {feature.what}" for i, feature in zip(numbers, features, strict=True)]
    rows = [["op", *map(str, numbers)], ["---", *[":---:"] * len(features)]]
    rows += [[f"`{op}`", *(SIGNS[outcome.status] for outcome in outcomes)] for op, outcomes in found.items()]
    return "\n".join([*legend, "", *("| " + " | ".join(row) + " |" for row in rows)])


def reasons(found: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """A line for everything that fails or cannot be had, with its ops."""
    by_note: dict[str, list[str]] = {}
    for op, outcomes in found.items():
        for outcome in outcomes:
            if outcome.status in ("fails", "impossible"):
                by_note.setdefault(f"{outcome.feature}: {outcome.note}", []).append(f"`{op}`")
    return [f"- {note} ({', '.join(ops)})" for note, ops in by_note.items()]


def replaced(text: str, content: str) -> str:
    """`text` with what stands between the marks exchanged."""
    before, rest = text.split(START)
    return f"{before}{START}\n\n{content}\n\n{END}{rest.split(END)[1]}"


def circumstances(seconds: float) -> str:
    where = environment()
    return (
        f"`python -m scripts.jax_features`: {where['device']}, {where['cpus']} CPU cores as two devices; "
        f"JAX {where['packages']['jax']}, Python {where['python']}; {where['started'][:10]}; {seconds:.0f} s."
    )


def survey(settings: JaxFeatures) -> int:
    for name, wanted, known in (
        ("op", settings.op, list(EVIDENCE)),
        ("feature", settings.feature, [feature.name for feature in FEATURES]),
    ):
        for value in wanted:
            require(value in known, name, value, f"one of {', '.join(known)}")
    features = [feature for feature in FEATURES if not settings.feature or feature.name in settings.feature]
    ops, found, start = settings.op or tuple(EVIDENCE), {}, time.perf_counter()
    jax.config.update("jax_num_cpu_devices", 2)
    with progress(len(ops) * len(features), "run") as bar:
        for op in ops:
            found[op] = []
            for feature in features:
                found[op].append(suite.feature_outcome(op, feature))
                bar.update()
    content = "\n".join([table(found, features), "", *reasons(found), "", circumstances(time.perf_counter() - start)])
    print(content)
    if not (settings.op or settings.feature):
        write_atomically(PAGE, replaced(PAGE.read_text(encoding="utf-8"), content))
    return int(any(outcome.status == "fails" for outcomes in found.values() for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(run_command(JaxFeatures, survey))

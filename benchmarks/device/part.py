"""One part of the check: `python -m benchmarks.device.part NAME FILE SECONDS [--tiny] [--mnist FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.device.document import Document
from benchmarks.interleave import Gap


def probe() -> dict[str, Any]:
    """What JAX computes on."""
    import jax

    kind, count = jax.devices()[0].device_kind, jax.device_count()
    return {"backend": jax.default_backend(), "device": kind, "devices": count, "jax": jax.__version__}


def run(name: str, document: Document) -> str | None:
    """Measure part `name`; why it could not be, in a line, where that is so."""
    try:
        import_module(f"benchmarks.device.{name}").measure(document)
    except Gap as gap:
        return str(gap)
    except Exception as error:  # what was measured before stands, and the other parts go on
        traceback.print_exc()
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    return None


def main(arguments: list[str]) -> int:
    if arguments == ["probe"]:
        print(json.dumps(probe()))
        return 0
    parser = argparse.ArgumentParser(prog="benchmarks.device.part")
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--mnist", type=Path)
    given = parser.parse_args(arguments)
    document = Document(given.file, given.seconds, given.tiny, given.mnist)
    document.facts["gap"] = run(given.name, document)
    document.store()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

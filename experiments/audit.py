"""Is the gradient of a function right? Of any that can be imported, also from the current directory.

    python experiments/audit.py jax.numpy:tanh --args "f32[3,5]"
    python experiments/audit.py mypackage.losses:focal --args "f32[8,10]" "i32[8] in 0..9" --set gamma=2.0
    python experiments/audit.py mypackage.ops:pool --args "f32[1,6,6,2]" 2 "'same'" --reference mypackage.plain:pool
    python experiments/audit.py mypackage.net:loss --args "{'w': f32[5,3], 'b': f32[3]}" "f32[4,5]" "i32[4] in 0..2"
    python experiments/audit.py mypackage.net:loss --args "mypackage.net:parameters()" "f32[4,5]" "i32[4] in 0..2"

An argument is an array that is drawn, or a value. Arrays: a dtype (f16 bf16 f32 f64 i32 i64 u8 bool) and sizes;
f32[] is a single number, and key[] a key of jax.random. Floating-point numbers are drawn from a normal distribution, or
with `in 0.1..2` uniformly between these; integers from 0 to 9, or with `in 0..2` from 0, 1 and 2. Values: numbers,
strings in quotation marks, True, False, None, which the function gets as they are; package.module:name, what a module
holds; and package.module:name(), what a function returns, parameters say. Tuples, lists and dictionaries may hold all
of these.

Installed, it is the command convnet-audit. docs/gradients.md says what each stage of the report proves.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from convnet.cli import run_command
from convnet.gradcheck import Auditor, Report
from convnet.gradcheck.call_specs import Argument, function, setting
from convnet.record import write_json
from convnet.settings import require


@dataclass(frozen=True)
class Command:
    """Audit the gradient of a function that can be imported, and print the report. Exit code 0: passed, 1: failed or
    not tested, 2: bad input.

    convnet-audit jax.numpy:tanh --args "f32[3,5]"

    convnet-audit mypackage.losses:focal --args "f32[8,10]" "i32[8] in 0..9" --set gamma=2.0

    convnet-audit mypackage.net:loss --args "mypackage.net:parameters()" "{'x': f32[4,5] in 0.1..2}"
    """

    function: Annotated[str, tyro.conf.Positional]
    """package.module:name, also of the current directory."""
    args: tuple[str, ...] = ()
    """Its positional arguments. f32[3,5]: an array, normally distributed (f16 bf16 f32 f64 i32 i64 u8 bool, and key);
    f32[]: a single number; f32[3] in 0.1..2: uniform; i32[4] in 0..9: these integers, both ends included. 2, 2.5,
    'same', True: a value. package.module:name: what a module holds; package.module:name(): what a function returns.
    Tuples, lists and dictionaries of these."""
    set: tuple[str, ...] = ()
    """Keyword arguments: name=value, where a word need not stand in quotation marks."""
    level: Literal["quick", "standard", "exhaustive"] = "standard"
    """How much is looked at."""
    seed: int = 0
    """Of the arguments that are drawn, and of what the audit draws."""
    argnums: tuple[int, ...] = ()
    """Positions of the arguments to differentiate in. Default: all with floating-point numbers."""
    draws: int = 1
    """Points: the arguments are drawn so many times, with the seeds seed, seed + 1, …"""
    reference: str | None = None
    """package.module:name of the same function, whose gradient by autodiff is right."""
    json: Path | None = None
    """File for the reports, with all of their numbers."""


def audit(command: Command) -> int:
    """0, or 1 where a point did not pass. Raises ValueError for what cannot be audited."""
    require(command.draws >= 1, "draws", command.draws, "1 or more")
    require(command.seed >= 0, "seed", command.seed, "0 or more")
    require(command.json is None or command.json.parent.is_dir(), "json", str(command.json), "a directory that exists")
    reports = reports_of(command)
    if command.json is not None:
        call = dict(function=command.function, args=list(command.args), set=list(command.set), draws=command.draws)
        write_json(command.json, call | {"reports": [report.to_dict() for report in reports]})
    failed = [report for report in reports if not report.passed]
    print((failed or reports)[0])
    if len(reports) > 1:
        print(f"{len(reports) - len(failed)} of {len(reports)} points passed")
    if failed and len(reports) > 1:
        print(f"to see the one above again: {again(command, failed[0].seed)}")
    return 1 if failed else 0


def reports_of(command: Command) -> list[Report]:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a command that is installed does not look there
    arguments = [Argument(text) for text in command.args]
    settings = dict(map(setting, command.set))
    reference = command.reference and function(command.reference, "reference")
    auditor = Auditor(
        function(command.function, "function"),
        reference=reference,
        argnums=command.argnums or None,
        settings=settings,
        name=command.function.rpartition(":")[2],
    )
    reports = []
    for seed in range(command.seed, command.seed + command.draws):
        rng = np.random.default_rng(seed)
        point = tuple(argument.draw(rng) for argument in arguments)
        try:
            reports.append(auditor.audit(point, seed=seed, level=command.level))
        except ValueError as error:  # JAX explains at length
            raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return reports


def again(command: Command, seed: int) -> str:
    """The command that audits one point."""
    words = ["convnet-audit", command.function]
    for name in ("args", "set", "argnums"):
        words += [f"--{name}", *map(str, getattr(command, name))] if getattr(command, name) else []
    words += ["--reference", command.reference] if command.reference else []
    return shlex.join([*words, "--level", command.level, "--seed", str(seed)])


def main(args: Sequence[str] | None = None) -> int:
    return run_command(Command, audit, args)


if __name__ == "__main__":
    sys.exit(main())

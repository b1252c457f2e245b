"""The command line of every experiment and script: a frozen dataclass in, an exit code out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tyro
from jax.errors import JaxRuntimeError
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from convnet import hosts
from convnet.allocator import keep_memory
from convnet.config import DataConfig, RunConfig
from convnet.journal import Stopped
from convnet.settings import apply, from_dict, options, parse, read_file, typed


def run_command(
    settings: type,
    run: Callable[[Any], Any],
    args: Sequence[str] | None = None,
    *,
    going_on: str = "",
    defaults: Callable[[Sequence[str]], Any] | None = None,
) -> int:
    """Read `settings` from the command line and `run` them.

    going_on: what to add to the command, or do, to go on after an interruption; empty where it starts anew.
    defaults: (arguments) -> the `settings` that they change. None: those of the class.

    Returns what `run` returned if that is an int, else 0; 2 with the error's message on standard error for bad input
    (ValueError, OSError, OverflowError) and where memory does not suffice; 130 when interrupted (143 by SIGTERM). The
    environment variable CONVNET_TRACEBACK=1 lets the exception through instead.
    """
    args = sys.argv[1:] if args is None else args
    with suppress(AttributeError, ValueError):  # something else than a stream of text stands in its place, or a closed
        sys.stdout.reconfigure(errors="replace")  # a name that a terminal cannot show costs no result
    try:
        values = parse_command(settings, args, defaults=defaults)
        keep_memory()  # before anything is computed
        code = run(values)
    except (ValueError, OSError, OverflowError, MemoryError, JaxRuntimeError) as error:
        if os.environ.get("CONVNET_TRACEBACK") or not (message := _message(error)):
            raise
        if hosts.speaks(error):
            print(f"error: {message}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        hint = f"{going_on} goes on from there" if stopped.saved else f"{going_on} begins it anew"
        if hosts.speaks(stopped):
            print(f"\n{stopped}{f'; {hint}' if going_on else ''}", file=sys.stderr)
        return 128 + (stopped.signal or signal.SIGINT)
    except KeyboardInterrupt:
        hint = f"; {going_on} goes on from what is saved" if going_on else ""
        print(f"\ninterrupted{hint}", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def parse_command(
    settings: type, args: Sequence[str], *, defaults: Callable[[Sequence[str]], Any] | None = None
) -> Any:
    """The `settings` that `args` stand for; defaults as in `run_command`. Raises what they raise, and ValueError for an
    empty value; ends the process, as argparse does, with code 2 where they are no arguments, with 0 after --help."""
    _refuse_empty(args)
    base = {"default": defaults(args)} if defaults else {}
    args = _without(args, "model.name") if defaults else args  # it has decided what else there is
    own = dict(registry=_own_values(), config=(tyro.conf.AvoidSubcommands,))
    return tyro.cli(settings, prog=Path(sys.argv[0]).name, args=args, **own, **base)


def run_config(args: Sequence[str], usual: Callable[[str | None, str | None], RunConfig]) -> RunConfig:
    """The config that the rest of `args` is to change: the one that is `usual` for a data set, or a folder, and a
    model, by their names if any are given, with the settings of the file that --config names.

    A model has settings of its own, so they are known only with its name.

    Raises ValueError for what the file or `usual` refuses, and for a setting that the model has not.
    """
    file = read_file(Path(path)) if (path := given(args, "config")) else {}
    data, folder, model = (_said(args, file, path) for path in ("data.name", "data.folder", "model.name"))
    if folder is not None:  # the data are called as it is
        data = from_dict(DataConfig, {"folder": folder} | ({} if data is None else {"name": data})).name
        file = file | {"data": {k: v for k, v in file.get("data", {}).items() if k not in ("name", "folder")}}
    names = {"data.name": data, "data.folder": folder, "model.name": model}
    changes = {path: value for path, value in names.items() if value is not None}
    config = apply(from_dict(RunConfig, file, base=apply(usual(data, model), changes)), changes)
    for arg in args:
        name = arg.partition("=")[0].replace("-", "_").removeprefix("__model.")
        if arg.startswith("--model.") and name.removeprefix("no_") not in vars(config.model):
            apply(config, {f"model.{name}": None})  # says so
    return config


def _said(args: Sequence[str], file: Mapping[str, Any], path: str) -> Any:
    """What the arguments say of a setting, or else the file."""
    section, name = path.split(".")
    there = file.get(section)
    return given(args, path) or (there.get(name) if isinstance(there, dict) else None)


def given(args: Sequence[str], name: str) -> str | None:
    """What `args` say of a setting; None where they do not."""
    value = None
    for at, arg in enumerate(args):
        flag, equals, attached = arg.partition("=")
        if flag == f"--{name}":
            value = attached if equals else next(iter(args[at + 1 : at + 2]), None)
    return value


def _without(args: Sequence[str], name: str) -> list[str]:
    """`args` but for a setting and its value."""
    kept, value_follows = [], False
    for arg in args:
        flag, equals, _ = arg.partition("=")
        if flag != f"--{name}" and not value_follows:
            kept.append(arg)
        value_follows = flag == f"--{name}" and not equals
    return kept


def _own_values() -> ConstructorRegistry:
    """Values of settings are read as those of factors are (`convnet.settings.parse`): "none", and 16+32 or 16 32."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        kinds = [get_origin(option) or option for option in options(info.type)]
        if len(kinds) < 2 or not set(kinds) <= {int, float, str, tuple, Literal, type(None)}:
            return None

        def read(texts: list[str]) -> Any:
            return typed(parse("+".join(texts), info.type), info.type, "value")

        def told(value: Any) -> list[str]:
            return list(map(str, value)) if isinstance(value, tuple) else ["none" if value is None else str(value)]

        def fits(value: Any) -> bool:
            try:
                return typed(value, info.type, "") == value
            except ValueError:
                return False

        nargs, words = "*" if tuple in kinds else 1, "|".join(_words(option) for option in options(info.type))
        return PrimitiveConstructorSpec(nargs, words, read, fits, told)

    return registry


def _words(option: Any) -> str:
    """A type in the help."""
    if get_origin(option) is tuple:
        return f"[{get_args(option)[0].__name__.upper()} …]"
    if get_origin(option) is Literal:
        return "|".join(get_args(option))
    return "none" if option is type(None) else option.__name__.upper()


def _refuse_empty(args: Sequence[str]) -> None:
    """An empty value is a variable that was not set: as a path it would be the directory that one happens to be in."""
    before = "an argument"
    for arg in args:
        flag, equals, value = arg.partition("=") if arg.startswith("--") else (before, "=", arg)
        if equals and not value.strip():
            raise ValueError(f"{flag} is {value!r}: expected a value")
        before = arg if arg.startswith("--") else before


def _message(error: Exception) -> str:
    """One line for people; empty for an error that is no fault of theirs."""
    if isinstance(error, MemoryError) or (isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)):
        detail = next(iter(str(error).splitlines()), "").removeprefix("RESOURCE_EXHAUSTED: ")
        return f"memory does not suffice for these settings{f' ({detail})' if detail else ''}"
    return "" if isinstance(error, JaxRuntimeError) else str(error) or type(error).__name__

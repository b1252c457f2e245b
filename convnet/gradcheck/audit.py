"""The audit of a gradient: fifteen stages, each switchable, and a verdict that names what it did not test."""

from __future__ import annotations

import time
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import (
    BadInput,
    check_call,
    is_key,
    is_part_of,
    is_static,
    unit_roundoff,
    with_settings,
)
from convnet.gradcheck.checks import STAGES
from convnet.gradcheck.checks.sources import OracleFailed
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.levels import LEVELS
from convnet.gradcheck.oracle import Oracle
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.terms import Arithmetic, computes_in, draws, open_ended, summed_terms
from convnet.gradcheck.verdict import Check, Report


class Auditor:
    """A function prepared for auditing: its programs are compiled once and serve any number of seeds and points."""

    def __init__(
        self,
        fn: Callable,
        *,
        reference: Callable | None = None,
        oracle: Any | None = None,
        argnums: Sequence[int] | None = None,
        conventions: Sequence | None = None,
        settings: Mapping | None = None,
        fuzz: Any | None = None,
        terms: int | None = None,
        accuracy: float | None = None,
        dtype: Any | None = None,
        estimator: bool = False,
        fixed: Sequence[str] = (),
        symmetric: Sequence[str] = (),
        name: str | None = None,
    ):
        if not callable(fn):
            raise ValueError(f"fn is {fn!r}: expected a function")
        check_call((), argnums, settings)
        if not (reference is None or callable(reference)):
            raise ValueError(f"reference is {reference!r}: expected a function")
        if not (oracle is None or callable(oracle) or isinstance(oracle, Oracle)):
            raise ValueError(f"oracle is {oracle!r}: expected an Oracle or a function")
        for convention in conventions or ():
            if not all(hasattr(convention, name) for name in ("name", "args", "settings", "gradients")):
                raise ValueError(f"conventions hold {convention!r}: expected Conventions")
        self.fn, self.reference, self.oracle, self.argnums = fn, reference, oracle, argnums
        self.conventions, self.settings = tuple(conventions or ()), dict(settings or {})
        if not (accuracy is None or 0 < accuracy < 1):
            raise ValueError(f"accuracy is {accuracy!r}: expected a relative error, 1e-6 say")
        self.fuzz, self.terms, self.name = fuzz, terms, name or _name_of(fn)
        self.accuracy, self.dtype, self.estimator = accuracy, _dtype_name(dtype), estimator
        self.fixed, self.symmetric = (
            (names,) if isinstance(names, str) else tuple(names) for names in (fixed, symmetric)
        )
        self._seen: dict[CompiledFunction, Arithmetic] = {}
        self._programs: dict[tuple, tuple[CompiledFunction, CompiledFunction | None]] = {}

    def audit(
        self,
        args: Sequence,
        *,
        seed: int = 0,
        level: str = "standard",
        stages: Sequence[str] | None = None,
        until_failure: bool = False,
    ) -> Report:
        """The verdict at `args`; see `audit`. until_failure: stop at the first stage that fails."""
        if level not in LEVELS:
            raise ValueError(f"level is {level!r}: expected one of {', '.join(LEVELS)}")
        chosen = tuple(STAGES) if stages is None else tuple(stages)
        unknown = [stage for stage in chosen if stage not in STAGES]
        if unknown:
            raise ValueError(f"stages holds {unknown[0]!r}: expected some of {', '.join(STAGES)}")
        report = Report(self.name, level, seed)
        with jax.enable_x64(True), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where a caller makes them errors, a stage would be one less for it
            subject = self.subject(args, seed=seed, level=level)
            for stage, run in STAGES.items():
                if stage not in chosen:
                    report.checks.append(Check(stage, "", "untested", note="switched off"))
                elif report.failures and (until_failure or "hygiene" in report.stages_failed):
                    report.checks.append(Check(stage, "", "untested", note="after a failure"))
                else:
                    _run(report, stage, run, subject)
        return report

    def subject(self, args: Sequence, *, seed: int = 0, level: str = "standard") -> Subject:
        """What the stages look at; to be used under `jax.enable_x64`."""
        return self._subject(args, self.settings, level, seed)

    def _subject(self, args: tuple, settings: Mapping, level: str, seed: int) -> Subject:
        check_call(args, self.argnums, settings)
        args = with_settings(args)
        program, reference = self._prepared(args, settings)
        for option in ("fixed", "symmetric"):
            for name in getattr(self, option):
                if not any(is_part_of(known, name) for known in program.all_names):
                    raise ValueError(f"{option} names {name!r}: expected some of {', '.join(program.all_names)}")
        stream = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return Subject(
            program,
            reference,
            self.oracle,
            args,
            LEVELS[level],
            stream,
            self._arithmetic(program, reference, args),
            self.conventions,
            self.fuzz,
            restart=lambda args, settings: self._subject(args, settings, level, seed),
            dtype=self.dtype,
            accuracy=self.accuracy,
            estimator=self.estimator,
            fixed=self.fixed,
        )

    def _arithmetic(self, program: CompiledFunction, reference: CompiledFunction | None, args) -> Arithmetic:
        """Seen in the programs themselves, and once for each."""
        if program not in self._seen:
            programs, point = [p for p in (program, reference) if p is not None], program.split(args)
            terms = self.terms or max(summed_terms(p.traced("value_and_vjp", *point, p.out)) for p in programs)
            value = program.traced("value", *point)
            seen = program.inner or computes_in(value)
            dtype = max(seen, self.dtype or seen, key=unit_roundoff)
            self._seen[program] = Arithmetic(terms, dtype, open_ended(value), draws(value))
        return self._seen[program]

    def _prepared(self, args: tuple, settings: Mapping) -> tuple[CompiledFunction, CompiledFunction | None]:
        """Programs are reused as long as nothing changes but the values of arrays."""
        leaves = [_static(leaf) if is_static(leaf) else _signature(leaf) for leaf in jax.tree.leaves(args)]
        key = (jax.tree.structure(args), *leaves, *((name, _static(value)) for name, value in settings.items()))
        if key not in self._programs:
            known = dict(argnums=self.argnums, settings=settings, symmetric=self.symmetric)
            program = CompiledFunction(self.fn, args, **known)
            reference = None
            if self.reference is not None:
                reference = CompiledFunction(self.reference, args, **known, role="reference")
                reference.symmetric = program.symmetric  # whatever the reference calls its arguments
                _check_same_result(program, reference)
            self._programs[key] = program, reference
        return self._programs[key]


def _dtype_name(dtype) -> str | None:
    if dtype is None:
        return None
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype is {dtype!r}: expected a floating-point dtype, float32 say")
    return str(jnp.dtype(dtype))


def _signature(leaf) -> tuple:
    return np.shape(leaf), str(leaf.dtype if is_key(leaf) else np.asarray(leaf).dtype)


def _static(value) -> tuple:
    """What tells one setting from another: arrays by their bytes, everything else by how it is written. Functions by
    what they are, as two may be written alike; the program that they are a part of keeps them."""
    if callable(value):
        return type(value).__name__, id(value)
    if hasattr(value, "shape"):
        return (*_signature(value), np.asarray(value).tobytes())
    return type(value).__name__, repr(value)


def _check_same_result(program: CompiledFunction, reference: CompiledFunction) -> None:
    ours, theirs = ([f"{value.dtype}{list(value.shape)}" for value in p.out] for p in (program, reference))
    if ours != theirs:
        raise ValueError(f"reference returns {', '.join(theirs)}: expected {', '.join(ours)}, as fn does")


def _name_of(fn: Callable) -> str:
    """Its name, or that of what it wraps; never a memory address, for the name is part of the seed."""
    if hasattr(fn, "__name__"):
        return fn.__name__
    inner = next((getattr(fn, name) for name in ("__wrapped__", "func", "fun") if hasattr(fn, name)), None)
    return type(fn).__name__ if inner is None else _name_of(inner)


def _run(report: Report, stage: str, run: Callable, subject: Subject) -> None:
    start = time.perf_counter()
    try:
        found = 0
        for check in run(subject):
            report.checks.append(check)
            found += 1
        if not found:
            report.checks.append(Check(stage, "", "untested", note="there was nothing to test"))
    except Untested as reason:
        report.checks.append(Check(stage, "", "untested", note=str(reason)))
    except OracleFailed as error:
        report.checks.append(Check(stage, "oracle", "failed", worst=str(error)))
    except BadInput:
        raise
    except Exception as error:  # of what the function does, a callback say: the other stages go on
        note = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
        report.checks.append(Check(stage, "", "untested", note=note))
    report.seconds[stage] = time.perf_counter() - start


def audit(
    fn: Callable,
    args: Sequence,
    *,
    reference: Callable | None = None,
    oracle: Any | None = None,
    argnums: Sequence[int] | None = None,
    conventions: Sequence | None = None,
    seed: int = 0,
    level: str = "standard",
    settings: Mapping | None = None,
    stages: Sequence[str] | None = None,
    fuzz: Any | None = None,
    terms: int | None = None,
    accuracy: float | None = None,
    dtype: Any | None = None,
    estimator: bool = False,
    fixed: Sequence[str] = (),
    symmetric: Sequence[str] = (),
) -> Report:
    """Is the gradient of `fn` right at `args`?

    fn: the rule under test: a custom_jvp, a custom_vjp, a primitive or a plain function of `(*args, **settings)`,
        returning an array or a pytree of arrays.
    args: pytrees of arrays, modules of Equinox and Flax NNX among them. Integer and boolean arrays are passed on and
        not differentiated, and so is what modules hold besides arrays. Everything is computed in float64, so float32
        arguments are widened.
    reference: the plain forward, which autodiff differentiates. oracle: an independent NumPy implementation, an
        `Oracle` with value and gradient, or a function for the value alone that takes complex numbers (its gradient is
        then found by complex step). Without either, entries have only finite differences to be compared with.
    argnums: positions to differentiate in; default all that hold floating-point arrays.
    conventions: `Convention`s, what the function declares at ties and kinks.
    seed: of cotangents, directions and sampled entries. level: "quick", "standard" or "exhaustive".
    stages: a selection of STAGES. fuzz: a hypothesis strategy of (args, settings).
    terms: how many products are summed into one entry at most; default what is counted in the programs.
    accuracy: the relative error that the function allows itself, as a solver with a tolerance does.
    dtype: what the function computes in or returns, whatever it is given; a rounding on the way is noticed without it.
    estimator: whether the gradient is an estimate by design (straight through, stopped gradients): it is then not
        compared with the derivative of the value.
    fixed: names of arguments that must stay what they are, as points inside a grid: other values are not tried for
        them. Integers that are sorted or a permutation, and rows that add up to 1, are taken for such by themselves.
    symmetric: names of arguments that are symmetric matrices, [..., n, n], and read as such (of one triangle, say):
        they are moved symmetrically, and of their gradients the symmetric part counts.

    Returns a Report: passed, failures, untested, to_dict(), and a table as its str.

    Raises ValueError for a function that fails at these arguments or has no floating-point result, a reference or an
    oracle of other shapes, and an unknown level or stage. A value that is not finite, results that change between
    calls and an oracle that raises are verdicts, and never "passed".

    >>> print(audit(my_relu, (x,), reference=lambda x: jnp.where(x > 0, x, 0)))
    """
    auditor = Auditor(
        fn,
        reference=reference,
        oracle=oracle,
        argnums=argnums,
        conventions=conventions,
        settings=settings,
        fuzz=fuzz,
        terms=terms,
        accuracy=accuracy,
        dtype=dtype,
        estimator=estimator,
        fixed=fixed,
        symmetric=symmetric,
    )
    return auditor.audit(args, seed=seed, level=level, stages=stages)

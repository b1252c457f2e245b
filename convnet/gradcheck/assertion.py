"""The audit in a test: passed, or an error that says what failed and how to see it again."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convnet.gradcheck.audit import audit
from convnet.gradcheck.reproduction import reproduction
from convnet.gradcheck.verdict import Report


def assert_gradients(
    fn: Callable, args: Sequence, *, level: str | None = None, seed: int = 0, **options: Any
) -> Report:
    """Assert that the gradient of `fn` is right at `args`.

    level: "quick", "standard" or "exhaustive". Default: what pytest was told, by a test's mark `gradcheck(level=…)`, by
        `--gradcheck-level`, or by `gradcheck_level` in its settings; else "standard".
    seed, options: those of `audit`.

    Returns the Report. Raises AssertionError where the report has not passed, be it because a check failed or because
    nothing independent could be compared; its text is the report, as much as a screen holds, and a few lines of Python
    that show it again. Raises ValueError as `audit` does.

    >>> def test_loss():
    ...     assert_gradients(loss, (params, images, labels))
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    pytest_says = getattr(sys.modules.get("convnet_pytest"), "CURRENT", None)  # where pytest has loaded the plugin
    level = level or getattr(pytest_says, "level", None) or "standard"
    report = audit(fn, args, level=level, seed=seed, **options)
    if report.passed:
        return report
    given = dict(level=level, seed=seed) | {name: value for name, value in options.items() if value is not None}
    folder = pytest_says.folder() if pytest_says and pytest_says.folder else Path(tempfile.mkdtemp(prefix="gradcheck-"))
    again = reproduction(fn, args, given, folder, test=_test_that_runs(level if pytest_says else None))
    raise AssertionError(f"{report.summary()}\n\nTo see it again, {folder / 'again.py'}:\n\n{again}")


def _test_that_runs(level: str | None) -> str:
    """Its name, as pytest takes it, and the option; nothing outside pytest."""
    node = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return shlex.quote(node) + (f" --gradcheck-level {level}" if level else "") if node else ""

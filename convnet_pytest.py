"""What pytest knows of `convnet.gradcheck.assert_gradients`: an option, a setting and a mark, each of which says at
what level gradients are audited.

pytest loads this at its start. So it stands beside the package, whose import brings JAX, and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LEVELS = ("quick", "standard", "exhaustive")
HELP = "level at which assert_gradients audits where neither it nor the test's mark says one: "


@dataclass
class Current:
    """What holds for the test that is running."""

    level: str | None = None
    folder: Callable[[], Path] | None = None
    """Makes a directory for what belongs to a failure."""


CURRENT = Current()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradcheck", "gradients (convnet)")
    group.addoption("--gradcheck-level", choices=LEVELS, help=HELP + ", ".join(LEVELS))
    parser.addini("gradcheck_level", HELP + ", ".join(LEVELS), default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "gradcheck(level=…): a test of gradients; level: quick, standard or exhaustive, for assert_gradients"
    )
    level = config.getini("gradcheck_level")
    if level and level not in LEVELS:
        raise pytest.UsageError(f"gradcheck_level is {level!r}: expected one of {', '.join(LEVELS)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("gradcheck"):
            if mark.args or set(mark.kwargs) - {"level"} or mark.kwargs.get("level", LEVELS[0]) not in LEVELS:
                given = ", ".join([*map(repr, mark.args), *(f"{key}={value!r}" for key, value in mark.kwargs.items())])
                expected = " or ".join(f"level={level!r}" for level in LEVELS)
                raise pytest.UsageError(f"{item.nodeid} is marked gradcheck({given}): expected {expected}, or nothing")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before, CURRENT.level = CURRENT.level, level_of(item)
    try:
        return (yield)
    finally:
        CURRENT.level = before


def level_of(item: pytest.Item) -> str | None:
    """What the nearest mark says, else the command line, else the settings."""
    marked = (mark.kwargs.get("level") for mark in item.iter_markers("gradcheck"))
    usual = item.config.option.gradcheck_level or item.config.getini("gradcheck_level")
    return next(filter(None, marked), usual) or None


@pytest.fixture(scope="session", autouse=True)
def _gradcheck_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Directories are made when a failure needs one, not before."""
    before, CURRENT.folder = CURRENT.folder, lambda: tmp_path_factory.mktemp("gradcheck")
    yield
    CURRENT.folder = before

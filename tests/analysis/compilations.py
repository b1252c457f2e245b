"""What is compiled while something runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import jax


class _Lines(logging.Handler):
    def __init__(self, found: list[str]):
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Compiling "):
            self._found.append(record.getMessage())


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The programs that are compiled inside, each in a line of JAX's own log."""
    found: list[str] = []
    handler, log = _Lines(found), logging.getLogger("jax")
    log.addHandler(handler)
    try:
        with jax.log_compiles():
            yield found
    finally:
        log.removeHandler(handler)

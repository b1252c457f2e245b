"""A process that answers questions, lines of JSON in, lines of JSON out: the side that asks, and what those that answer
have in common."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from benchmarks.interleave import Gap


class Conversation:
    """With the process of `command`, from its first line, which it says unasked (`hello`), until `close`.

    Every answer raises Gap where it is {"gap": why there is none}, where it does not come within its time, and where
    the process has ended; in the last two cases the conversation is closed.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, seconds: float):
        # Kept open as long as the process runs; closed with it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self._pending, self.open = b"", True
        try:
            self.hello = self.answer(seconds)
        except Gap:
            self.close()
            raise

    def ask(self, question: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gap(self._crash()) from None
        return self.answer(seconds)

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line it says."""
        deadline, pipe = monotonic() + seconds, self.process.stdout.fileno()
        while b"\n" not in self._pending:
            if not select.select([pipe], [], [], max(deadline - monotonic(), 0))[0]:
                self.close()
                raise Gap(f"no answer within {seconds:.4g} s")
            if not (data := os.read(pipe, 1 << 16)):
                raise Gap(self._crash())
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        answer = json.loads(line)
        if "gap" in answer:
            raise Gap(answer["gap"])
        return answer

    def close(self) -> None:
        if self.open:
            self.process.kill()
            self.process.communicate()
            self._errors.close()
            self.open = False

    def _crash(self) -> str:
        """Why the process ended: the last line it said."""
        code = self.process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        return f"crashed with code {code}" + (f": {said[-1][:200]}" if said else "")


def answering() -> Callable[[Mapping[str, Any]], None]:
    """answer(value) of the process that calls this. Libraries may print, so standard output becomes standard error, and
    only answers go where the parent listens."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lambda value: print(json.dumps(value), file=pipe)


def failure(error: Exception) -> dict[str, str]:
    """The gap that an error leaves."""
    return {"gap": f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}


def not_installed(error: ModuleNotFoundError) -> dict[str, str]:
    return {"gap": f"not installed ({error})"}

"""Progress: a bar where somebody looks, few and plain lines where a file does."""

import io
import threading

import pytest

from convnet import progress as module
from convnet.progress import Lines, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lines_of(clock, seconds, total):
    log = io.StringIO()
    with progress(total, "epoch", file=log) as bar:
        for step in range(total):
            clock.now += seconds
            bar.set_postfix_str(f"seed {step}")
            bar.update()
    return log.getvalue().splitlines()


def test_a_terminal_gets_a_bar():
    screen = Terminal()
    with progress(3, "epoch", file=screen) as bar:
        bar.update()
        bar.set_postfix(loss="0.5")
    assert "\r" in screen.getvalue()
    assert "1/3" in screen.getvalue()


def test_short_work_is_one_line(clock):
    assert lines_of(clock, 0.01, 200) == ["epoch 200 of 200, 100%, 2 s (seed 199)"]


def test_ten_minutes_are_a_line_per_tenth_or_half_minute(clock):
    lines = lines_of(clock, 1.0, 600)
    assert len(lines) == 20
    assert lines[0] == "epoch 30 of 600, 5%, 30 s, 570 s left (seed 29)"
    assert lines[-1] == "epoch 600 of 600, 100%, 600 s (seed 599)"
    assert not any("\r" in line for line in lines)


def test_a_minute_is_a_line_per_tenth(clock):
    assert len(lines_of(clock, 0.1, 600)) == 10


def test_what_comes_before_the_first_unit_comes_once(clock):
    log = io.StringIO()
    with progress(100, "epoch", file=log) as bar:
        clock.now = 60
        bar.update()
        for _ in range(40):
            clock.now += 1
            bar.update()
    assert log.getvalue().splitlines()[:2] == [
        "epoch 1 of 100, 1%, 60 s",
        "epoch 10 of 100, 10%, 69 s, 90 s left",
    ]


def test_an_interruption_leaves_how_far_it_got(clock):
    log = io.StringIO()

    def interrupted():
        with progress(10, "epoch", file=log) as bar:
            bar.update(3)
            bar.set_postfix(loss="0.5", validation="90%")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert log.getvalue() == "epoch 3 of 10, 30%, 0 s (loss 0.5, validation 90%)\n"


@pytest.mark.parametrize("total", [0, 2])
def test_nothing_to_do_and_more_than_was_said(total):
    log = io.StringIO()
    with progress(total, "epoch", file=log) as bar:
        bar.update(5 * (total > 0))
    assert log.getvalue().count("\n") == (total > 0)


def test_threads_lose_no_update():
    bar = Lines(4000, "epoch", io.StringIO())
    threads = [threading.Thread(target=lambda: [bar.update() for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bar.n == 4000

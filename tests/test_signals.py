"""The first signal is a wish, the second an order, and a program's own handlers stay."""

import signal
import threading

import pytest

from convnet.signals import StopRequest, stop_requests

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a program that has none of its own; a test runner may have."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_asks_and_the_second_interrupts(name, capfd):
    number = signal.Signals[name]
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(number)
        assert stop
        assert stop.signal == number
        assert "the same signal again stops at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_what_a_program_does_with_a_signal_it_goes_on_doing():
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("mine"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        assert not stop
    assert heard == ["mine"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_request_may_come_from_elsewhere_and_outlives_the_listening():
    request = StopRequest()
    with stop_requests(request) as stop:
        assert stop is request
        request.ask()
    assert request
    assert request.signal is None
    with stop_requests(request), pytest.raises(KeyboardInterrupt):  # asked before: the first signal is the second
        signal.raise_signal(signal.SIGTERM)


def test_another_thread_cannot_listen_and_does_not_try():
    found = []

    def listen():
        with stop_requests() as stop:
            found.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [(False, signal.SIG_DFL)]

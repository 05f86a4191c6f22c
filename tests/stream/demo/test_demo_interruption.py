"""The first signal asks, the second one insists."""

import signal

import pytest

from stream.demo.interruption import Interruption


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_only_asks(number: signal.Signals, code: int) -> None:
    with Interruption() as interruption:
        assert not interruption
        assert interruption.exit_code == 0
        signal.raise_signal(number)
        assert interruption
        assert interruption.exit_code == code
        assert not interruption.urgent


def test_the_second_signal_raises_and_the_third_is_ignored() -> None:
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.urgent
        signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_mean_what_they_meant() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

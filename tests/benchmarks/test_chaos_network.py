"""Links that are cut: silent ones keep what is sent, broken ones refuse it."""

import socket
from collections.abc import Iterator

import pytest

from benchmarks.chaos.network import Link, Network

QUIET_SECONDS = 0.2


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def link(far: socket.socket) -> Iterator[Link]:
    with Network() as network:
        yield network.link(far.getsockname()[1])


def _near(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=5)


def test_a_link_carries_both_ways_and_the_end_of_either(link: Link, far: socket.socket) -> None:
    with _near(link) as near:
        there, _ = far.accept()
        with there:
            near.sendall(b"hello")
            assert there.recv(100) == b"hello"
            there.sendall(b"welcome")
            assert near.recv(100) == b"welcome"
        assert near.recv(100) == b""


def test_over_a_silent_link_nothing_comes_until_it_is_healed(link: Link, far: socket.socket) -> None:
    with _near(link) as near:
        there, _ = far.accept()
        with there:
            link.cut("silent")
            near.sendall(b"hello")
            there.settimeout(QUIET_SECONDS)
            with pytest.raises(TimeoutError):
                there.recv(100)
            link.heal()
            there.settimeout(5)
            assert there.recv(100) == b"hello"


def test_a_reset_link_breaks_connections_and_refuses_new_ones(link: Link, far: socket.socket) -> None:
    with _near(link) as near:
        there, _ = far.accept()
        with there:
            link.cut("reset")
            with pytest.raises(ConnectionResetError):
                near.recv(100)
            with pytest.raises(ConnectionRefusedError):
                _near(link)
            link.heal()
            with _near(link):
                far.accept()[0].close()

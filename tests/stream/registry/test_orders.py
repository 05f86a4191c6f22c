import msgspec
import pytest

from stream.errors import SnapshotError
from stream.registry.orders import Order, decode_order, encode_order
from stream.registry.seal import seal

ORDER = Order(action="promote", model_version="forest-2", who="ann", why="it is better", given_at=5)


def test_an_order_arrives_as_it_was_given() -> None:
    assert decode_order(encode_order(ORDER, b"secret"), b"secret") == ORDER


def test_an_order_of_somebody_without_the_key_is_refused() -> None:
    for key in (None, b"another"):
        with pytest.raises(SnapshotError):
            decode_order(encode_order(ORDER, key), b"secret")


@pytest.mark.parametrize(
    "spoilt", [{"action": "delete"}, {"why": ""}, {"who": "x" * 501}, {"given_at": "now"}]
)
def test_an_order_that_makes_no_sense_is_refused(spoilt: dict[str, object]) -> None:
    body = msgspec.msgpack.encode(msgspec.to_builtins(ORDER) | spoilt)
    with pytest.raises(SnapshotError, match="the order cannot be read"):
        decode_order(seal(body, None, "order"), None)

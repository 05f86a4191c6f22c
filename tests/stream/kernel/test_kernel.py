from collections.abc import Iterator

import pytest

from stream import kernel
from stream.errors import SettingsError


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    with kernel.using(kernel.in_use()):
        yield


@pytest.mark.service("kernel")
def test_where_it_is_there_it_is_used_unless_it_is_not_wanted() -> None:
    used = []
    for wanted in ("off", "auto", "off", "on"):
        kernel.choose(wanted)
        used.append(kernel.in_use())
    assert used == [False, True, False, True]


def test_nothing_starts_without_it_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "BUILT", False)
    with pytest.raises(SettingsError, match=r"FRAUD_KERNEL=on: .* not there; install .*=auto"):
        kernel.choose("on")
    kernel.choose("auto")
    assert not kernel.in_use()


@pytest.mark.service("kernel")
def test_who_compares_leaves_it_as_it_was() -> None:
    kernel.choose("on")
    with kernel.using(False):
        assert not kernel.in_use()
    assert kernel.in_use()

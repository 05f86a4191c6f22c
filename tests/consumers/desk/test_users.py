import pytest
from click.testing import CliRunner

from consumers.desk.commands import desk, desk_user
from consumers.desk.users import User, Users, new_user
from stream.errors import SettingsError


def test_a_token_lets_in_whose_it_is() -> None:
    (ana, one), (vic, other) = new_user("ana", "analyst"), new_user("vic.b@example.org", "viewer")
    users = Users(f"{one}, {other}")
    assert users.find(ana) == User("ana", "analyst")
    assert users.find(vic) == User("vic.b@example.org", "viewer")
    assert not User("vic", "viewer").may_judge
    for nobody in ("", ana[:-1], ana + "x", ana.upper(), one.split(":")[2], "\udcff"):
        assert users.find(nobody) is None


def test_an_entry_does_not_hold_its_token() -> None:
    token, entry = new_user("ana", "analyst")
    assert token not in entry
    assert len(token) >= 43
    assert new_user("ana", "analyst")[0] != token


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ("", "entry 1"),
        ("ana:analyst:hush-hush-token", "entry 1 is not NAME:ROLE:FINGERPRINT"),
        (f"ana:analyst:{'0' * 64},", "entry 2"),
        (f"ana:analyst:{'0' * 64}:more", "entry 1"),
        (f"an a:analyst:{'0' * 64}", "entry 1"),
        (f"ana:boss:{'0' * 64}", "entry 1 has a role that is none of analyst, viewer"),
    ],
)
def test_a_wrong_list_is_one_sentence_without_what_it_holds(listed: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Users(listed)
    assert "hush" not in str(caught.value)


def test_the_command_shows_a_token_once_with_its_entry() -> None:
    shown = CliRunner().invoke(desk_user, ["ana", "--role", "viewer"], catch_exceptions=False).output
    token, entry = (line.split()[-1] for line in shown.splitlines())
    assert Users(entry).find(token) == User("ana", "viewer")
    assert isinstance(CliRunner().invoke(desk_user, ["a:b"]).exception, SettingsError)


def test_a_desk_that_nobody_could_enter_does_not_start() -> None:
    refused = CliRunner(env={"FRAUD_CASE_STORE": "postgresql://localhost/x"}).invoke(desk, [])
    assert isinstance(refused.exception, SettingsError)
    assert "desk-user" in str(refused.exception)

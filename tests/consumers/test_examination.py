"""What the doctor makes of a case store and of a desk's users, without a database."""

import pytest

from consumers.examination import examine, judge_encryption, judge_rights
from stream.doctor.finding import Finding, State
from stream.settings import Settings

ANA, VIC, EVE = (
    f"{name}:{role}:{letter * 64}"
    for name, role, letter in (("ana", "analyst", "a"), ("vic", "viewer", "b"), ("eve", "viewer", "c"))
)


def found(**settings: str) -> list[Finding]:
    return list(examine(Settings(**settings), timeout_seconds=2))


def test_who_has_no_desk_is_told_nothing_of_one() -> None:
    assert found() == []


def test_users_without_a_case_store_are_wrong() -> None:
    [finding] = found(desk_users=ANA)
    assert finding.state is State.WRONG
    assert "set FRAUD_CASE_STORE, too" in finding.text


@pytest.mark.parametrize(
    ("users", "state", "words"),
    [
        (f"{ANA},{VIC},{EVE}", State.GOOD, "1 analyst, 2 viewers may log in"),
        (VIC, State.WARNING, "nobody may judge; make an analyst: `fraudstream desk-user NAME`"),
        (f"{ANA},bob:analyst:hunter2", State.WRONG, "FRAUD_DESK_USERS: entry 2 is not NAME:ROLE:FINGERPRINT"),
        ("ana:boss:" + "0" * 64, State.WRONG, "has a role that is none of analyst, viewer"),
    ],
)
def test_the_desks_users_are_read_as_the_desk_reads_them(users: str, state: State, words: str) -> None:
    *_, finding = found(desk_users=users, case_store="postgresql://fraud@127.0.0.1:1/cases")
    assert (finding.about, finding.state) == ("desk", state)
    assert words in finding.text
    assert "hunter2" not in finding.text


def test_a_case_store_that_is_not_understood_is_not_shown() -> None:
    [finding] = found(case_store="postgresql://fraud:hunter2@[db/cases")
    assert finding.state is State.WRONG
    assert "FRAUD_CASE_STORE is not understood" in finding.text
    assert "hunter2" not in finding.text


def test_a_case_store_that_is_away_is_one_sentence() -> None:
    [finding] = found(case_store="postgresql://fraud:hunter2@127.0.0.1:1/cases")
    assert finding.state is State.WRONG
    assert "the case store does not answer" in finding.text
    assert finding.text.endswith("start PostgreSQL, or set FRAUD_CASE_STORE")
    assert "hunter2" not in finding.text


@pytest.mark.parametrize(
    ("host", "mode", "encrypted", "words"),
    [
        ("127.0.0.1", "prefer", False, None),
        ("/run/postgresql", "prefer", False, None),
        ("db", "verify-full", True, None),
        ("db", "require", True, "with sslmode=require nobody makes sure that db is at its end"),
        ("db", "prefer", False, "everybody on the way to db can read"),
    ],
)
def test_the_way_to_another_machine_is_to_be_encrypted_and_certain(
    host: str, mode: str, encrypted: bool, words: str | None
) -> None:
    finding = judge_encryption(host, mode, encrypted=encrypted)
    if words is None:
        assert finding is None
    else:
        assert finding is not None
        assert finding.state is State.WARNING
        assert words in finding.text
        assert "put sslmode=verify-full into FRAUD_CASE_STORE" in finding.text


@pytest.mark.parametrize(
    ("lacks", "may_create", "state"),
    [
        ({"desk": [], "cases": []}, True, State.GOOD),
        ({"desk": [], "cases": ["INSERT on alerts"]}, False, State.GOOD),
        ({"desk": ["INSERT on verdicts"], "cases": []}, True, State.GOOD),
        ({"desk": ["INSERT on verdicts"], "cases": []}, False, State.WRONG),
    ],
)
def test_an_account_that_can_serve_neither_command_is_wrong(
    lacks: dict[str, list[str]], may_create: bool, state: State
) -> None:
    finding = judge_rights("ana", lacks, may_create=may_create)
    assert finding.state is state
    for right in (*lacks["desk"], *lacks["cases"]):
        assert right in finding.text

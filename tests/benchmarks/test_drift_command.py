"""What the command measures when it is told to, and when it is not."""

import pytest

from benchmarks.drift.__main__ import _parser


def test_it_measures_what_is_named_and_without_a_name_all_that_is_usual() -> None:
    parser = _parser()
    usual = ["sudden", "gradual", "incremental", "recurring", "nulls", "stationary"]
    assert list(parser.parse_args(["--json", "D.json"]).what) == usual
    assert parser.parse_args(["rare", "nulls"]).what == ["rare", "nulls"]


def test_what_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["abrupt"])
    assert "abrupt is none of sudden, gradual" in capsys.readouterr().err

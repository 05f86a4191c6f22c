import logging
from collections.abc import Iterator
from logging.config import dictConfig

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from stream.errors import AccessError, TopicError
from stream.settings import Settings
from stream.worker.log import logging_config


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("faust", "mode", "aiokafka", "asyncio", "faust.app.base"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_library_says_the_same_again_only_after_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(logging_config(Settings()))
    logger = logging.getLogger("aiokafka.consumer.fetcher")
    for node in range(40):
        logger.error("Unable to connect to node %d", node)
    logger.error("Something else")
    assert [line.rpartition(": ")[2] for line in said(capsys)] == [
        "Unable to connect to node 0",
        "Something else",
    ]


def test_what_was_said_is_said_again_later(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dictConfig(logging_config(Settings()))
    logger = logging.getLogger("aiokafka")
    logger.error("away")
    monkeypatch.setattr("stream.worker.log._SELDOM_SECONDS", 0.0)
    logger.error("away")
    assert len(said(capsys)) == 2


def test_our_own_lines_are_all_kept(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(logging_config(Settings()))
    for _ in range(3):
        logging.getLogger("stream.worker.host").info("score goes on")
    assert len(said(capsys)) == 3


def test_a_library_does_not_repeat_an_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(logging_config(Settings()))
    error = TopicError("topic 'labels' is missing")
    logging.getLogger("faust.app").error("Crashed", exc_info=error)
    logging.getLogger("faust.app").error("Crashed", exc_info=ValueError("a bug"))
    lines = said(capsys)
    assert not any("labels" in line for line in lines)
    assert lines[-1] == "ValueError: a bug"


def test_debugging_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(logging_config(Settings(log_level="debug")))
    for _ in range(3):
        logging.getLogger("aiokafka").error("away")
    assert len(said(capsys)) == 3


@pytest.mark.parametrize(
    "error", [AccessError("may not read"), TopicAuthorizationFailedError("transactions")]
)
def test_of_a_refusal_that_is_said_in_a_sentence_no_library_logs_a_traceback(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    dictConfig(logging_config(Settings()))
    logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    logging.getLogger("stream.worker.host").error("ours", exc_info=error)
    assert [line for line in said(capsys) if "ERROR" in line and "asyncio" in line] == []

"""Lines of the log: JSON, one an event, on standard error."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_dagster.logs import event_log, log_libraries


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_a_line_has_its_facts_the_event_the_level_and_the_time(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(event_log(), level)(
        "run_started", run_id="r", tenant_id="acme", attempt=1
    )
    line = line_of(capsys)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert datetime.now(UTC) - at < timedelta(minutes=1)
    assert line == {
        "run_id": "r",
        "tenant_id": "acme",
        "attempt": 1,
        "event": "run_started",
        "level": level,
    }


def test_text_stays_readable_and_a_line_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().info("told", text="Käse\n\x1b[31m")
    err = capsys.readouterr().err
    assert "K\\u00e4se\\n\\u001b[31m" in err
    assert err.count("\n") == 1


def test_what_json_does_not_have_is_written_as_python_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().info("told", error=ValueError("x"), ids={"a"}, pair=(1, None))
    line = line_of(capsys)
    assert (line["error"], line["ids"], line["pair"]) == (
        "ValueError('x')",
        "{'a'}",
        [1, None],
    )


@pytest.mark.parametrize(
    "names_it", [True, False], ids=["named", "being handled"]
)
def test_an_exception_comes_with_its_traceback(
    names_it: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise RuntimeError("it broke")
    except RuntimeError as error:
        event_log().error(
            "reconcile_error", exc_info=error if names_it else True
        )
    traceback_text = line_of(capsys)["exception"]
    assert traceback_text.startswith("Traceback (most recent call last):\n")
    assert traceback_text.endswith("RuntimeError: it broke")


def test_without_an_exception_there_is_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().error("told", exc_info=True)
    assert "exception" not in line_of(capsys)


def test_no_character_of_a_line_steers_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().info("request", path="/v1/\x9b2J\u202e\u2028")
    line = capsys.readouterr().err
    assert line.isascii()
    assert json.loads(line)["path"] == "/v1/\x9b2J\u202e\u2028"


# --- as a logger of the standard library ----------------------------------------------------------


@pytest.fixture
def relay() -> Iterator[logging.Logger]:
    """The program's logger, left as it was."""
    event_log()
    logger = logging.getLogger("relay")
    level = logger.level
    handlers = list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def libraries() -> Iterator[None]:
    """Lines of libraries in the log, for as long as a test lasts."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    log_libraries()
    yield
    root.handlers[:] = handlers


def test_lines_go_to_whatever_standard_error_is_at_that_moment() -> None:
    log = event_log()
    elsewhere = io.StringIO()
    with redirect_stderr(elsewhere):
        log.info("told")
    assert json.loads(elsewhere.getvalue())["event"] == "told"
    assert sys.stderr is not elsewhere


def test_a_level_says_what_is_written(
    relay: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    relay.setLevel(logging.WARNING)
    event_log().info("quiet")
    event_log().warning("loud")
    assert line_of(capsys)["event"] == "loud"


def test_another_handler_gets_the_events_too(
    relay: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append((record.levelname, record.getMessage()))

    events: list[tuple[str, str]] = []
    relay.addHandler(Kept())
    event_log().error("run_failed", run_id="r")
    assert events == [("ERROR", "run_failed")]
    assert line_of(capsys)["run_id"] == "r"


def test_a_second_log_writes_no_line_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log()
    event_log().info("told")
    assert line_of(capsys)["event"] == "told"


@pytest.mark.usefixtures("libraries")
def test_what_a_library_warns_of_is_a_line_and_its_chatter_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library = logging.getLogger("some.library")
    library.info("starting")
    library.warning("%s is slow", "disk")
    line = line_of(capsys)
    assert (line["event"], line["level"]) == ("library", "warning")
    assert (line["logger"], line["message"]) == ("some.library", "disk is slow")


@pytest.mark.usefixtures("libraries")
def test_an_event_of_ours_is_no_line_of_a_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().error("run_failed")
    assert line_of(capsys)["event"] == "run_failed"


def test_a_log_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    closed = io.StringIO()
    closed.close()
    with redirect_stderr(closed):
        event_log().info("told")

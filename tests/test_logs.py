"""Lines of the log: JSON, one an event, on standard error."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_dagster.logs import event_log


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_line_has_its_facts_the_event_the_level_and_the_time(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(event_log(), level)("run_started", run_id="r", tenant_id="acme", attempt=1)
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


def test_text_stays_readable_and_a_line_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    event_log().info("told", text="Käse\n\x1b[31m")
    err = capsys.readouterr().err
    assert "Käse\\n\\u001b[31m" in err
    assert err.count("\n") == 1


def test_what_json_does_not_have_is_written_as_python_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log().info("told", error=ValueError("x"), ids={"a"}, pair=(1, None))
    line = line_of(capsys)
    assert (line["error"], line["ids"], line["pair"]) == ("ValueError('x')", "{'a'}", [1, None])


@pytest.mark.parametrize("names_it", [True, False], ids=["named", "being handled"])
def test_an_exception_comes_with_its_traceback(
    names_it: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise RuntimeError("it broke")
    except RuntimeError as error:
        event_log().error("reconcile_error", exc_info=error if names_it else True)
    told = line_of(capsys)["exception"]
    assert told.startswith("Traceback (most recent call last):\n")
    assert told.endswith("RuntimeError: it broke")


def test_without_an_exception_there_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    event_log().error("told", exc_info=True)
    assert "exception" not in line_of(capsys)

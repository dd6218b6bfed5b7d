"""The errors that end a client command: lines for people that also say what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

_HINTS = {
    "UNAUTHENTICATED": "Set the API key in RELAY_API_KEY or --api-key.",
    "CONFIG_VERSION_MISMATCH": "For the latest version and its number: relay config get TENANT",
}


class ClientError(Exception):
    """The command failed.

    Attributes:
        lines: The lines that say why it failed and what to do.
        exit_status: The exit status of the command.
    """

    exit_status = 1

    def __init__(self, *lines: str) -> None:
        self.lines: Sequence[str] = lines
        super().__init__("; ".join(lines))


class BadUsageError(ClientError):
    """The command line asks for something that is not possible."""

    exit_status = 2


class NoResponseError(ClientError):
    """No response arrived.

    Attributes:
        was_sent: Whether the request was sent, so that it may have been carried out.
    """

    def __init__(self, *lines: str, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(*lines)


class UnexpectedResponseError(ClientError):
    """A response arrived that this API does not give: something else listens there."""


class FileGoneError(UnexpectedResponseError):
    """A file that a link leads to does not exist, or the link has expired."""


class ApiError(ClientError):
    """The API answered with a problem document.

    Attributes:
        status: The HTTP status.
        problem: The problem document.
        error_code: The error code of the problem.
        active_run_id: The run that is in the way of the request, if there is one.
    """

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.problem = problem
        self.error_code = str(problem.get("error_code", ""))
        self.active_run_id = problem.get("active_run_id")
        super().__init__(*_problem_lines(problem, retry_after))

    @property
    def is_temporary(self) -> bool:
        """True if the same request may succeed later."""
        return self.status >= 500 or self.status == 429


def fault_lines(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per fault: `path: message`."""
    lines = []
    for fault in faults:
        message = str(fault["message"])
        path = fault.get("path")
        lines.append(f"{path}: {message}" if path else message)
    return lines


def _problem_lines(
    problem: Mapping[str, Any],
    retry_after: float | None,
) -> list[str]:
    """Return a problem document as lines for people."""
    code = str(problem.get("error_code", problem.get("title")))
    detail = str(problem.get("detail", ""))
    faults = fault_lines(problem.get("errors") or [])
    if faults and detail.startswith(faults[0]):
        # The detail only repeats the faults.
        number = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
        detail = f"The request was rejected because of {number}."
    lines = [f"{code}: {detail}"]
    lines.extend(f"  {fault}" for fault in faults)
    if retry_after is not None:
        lines.append(f"Retry in {retry_after:g} s.")
    if code in _HINTS:
        lines.append(_HINTS[code])
    active_run_id = problem.get("active_run_id")
    if active_run_id:
        lines.append(
            f"Run {active_run_id} is still active. Watch it with: "
            f"relay runs show {active_run_id} --watch",
        )
    lines.append(f"request_id: {problem.get('request_id')}")
    return lines

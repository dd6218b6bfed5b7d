"""The errors that end a client command: lines for people, with what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

_HINTS = {
    "UNAUTHENTICATED": "give a key with RELAY_API_KEY or --api-key",
    "CONFIG_VERSION_MISMATCH": "`relay config get TENANT` shows the latest version and its number",
}


class ClientError(Exception):
    """A command cannot do what it was asked; ``lines`` say why, and what to do."""

    exit_status = 1

    def __init__(self, *lines: str) -> None:
        self.lines: Sequence[str] = lines
        super().__init__("; ".join(lines))


class BadUsageError(ClientError):
    """The command line asks for something that cannot be."""

    exit_status = 2


class NoAnswerError(ClientError):
    """No answer came. Whether the request was carried out is known by ``was_sent`` alone."""

    def __init__(self, *lines: str, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(*lines)


class UnexpectedAnswerError(ClientError):
    """An answer came that the API does not give: something else listens there."""


class GoneError(UnexpectedAnswerError):
    """A file that was linked to is not there."""


class RefusedError(ClientError):
    """The API answered with a problem document; ``retry_after`` are the seconds that it names."""

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        self.status = status
        self.problem = problem
        self.error_code = str(problem.get("error_code", ""))
        self.active_run_id = problem.get("active_run_id")
        code, detail = (
            problem.get("error_code", problem.get("title")),
            str(problem.get("detail", "")),
        )
        faults = fault_lines(problem.get("errors") or [])
        if faults and detail.startswith(
            faults[0]
        ):  # the sentence is the faults over again
            number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
            detail = f"refused, for {number}"
        lines = [f"{code}: {detail}", *(f"  {fault}" for fault in faults)]
        if retry_after is not None:
            lines.append(f"try again in {retry_after:g} s")
        if hint := _HINTS.get(str(code)):
            lines.append(hint)
        if active := problem.get("active_run_id"):
            lines.append(
                f"run {active} is under way; watch it with: relay show {active} --watch"
            )
        super().__init__(*lines, f"request_id: {problem.get('request_id')}")

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered later."""
        return self.status >= 500 or self.status == 429


def fault_lines(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return ``path: message`` of each fault."""
    return [
        f"{fault['path']}: {fault['message']}"
        if fault.get("path")
        else str(fault["message"])
        for fault in faults
    ]

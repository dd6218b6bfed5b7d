"""The session of a client command: the API, the screen and the exit status.

The decorator `command` makes a function a command. Errors of the client become lines on
standard error and an exit status.
"""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any

import typer

from relay_core.domain.errors import ConfigError
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.errors import ClientError
from relay_dagster.client.terminal import Screen

INTERRUPTED = 130
"""The exit status of a command that the user stops with Ctrl-C."""


def argument(
    metavar: str,
    help_text: str,
    *,
    show_default: str | bool = False,
) -> Any:
    """Return a command's argument; `show_default` is the default as help shows it."""
    return typer.Argument(
        metavar=metavar,
        help=help_text,
        show_default=show_default,
    )


def option(
    help_text: str,
    *names: str,
    show_default: str | bool = True,
    **settings: Any,
) -> Any:
    """Return a command's option; `show_default` is the default as help shows it."""
    return typer.Option(
        *names,
        help=help_text,
        show_default=show_default,
        **settings,
    )


Tenant = Annotated[str, argument("TENANT", "Tenant ID.")]
RunId = Annotated[str, argument("RUN_ID", "Run ID.")]
Limit = Annotated[int, option("Maximum number of results.", min=1)]


@dataclass(frozen=True)
class Session:
    """The means of a command.

    Attributes:
        api: The client of the API.
        screen: The terminal.
        pause: The function that waits for a number of seconds.
        as_json: Whether the command prints JSON.
    """

    api: ApiClient
    screen: Screen
    pause: Callable[[float], None] = time.sleep
    as_json: bool = False


@dataclass(frozen=True)
class Output:
    """The output of a command that can also print JSON.

    Attributes:
        document: The output for programs: a JSON object, a response of the API, or a list
            of responses.
        show: The function that writes the output for people.
        exit_status: The function that returns the command's exit status. It is called
            after the output is written.
    """

    document: Any
    show: Callable[[], None]
    exit_status: Callable[[], int] = lambda: 0


_KEY = (
    "API key. Prefer the environment variable: other users of this machine can see "
    "command lines."
)
_AS_JSON = Parameter(
    "as_json",
    Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, option("Print JSON.", "--json")],
)
_API_URL = Parameter(
    "api_url",
    Parameter.KEYWORD_ONLY,
    default="http://127.0.0.1:8000",
    annotation=Annotated[
        str,
        option("URL of the API.", envvar="RELAY_API_URL"),
    ],
)
_API_KEY = Parameter(
    "api_key",
    Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        option(_KEY, show_default=False, envvar="RELAY_API_KEY"),
    ],
)


def command(
    app: typer.Typer,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes a function a client command of an app.

    The first parameter of the function is the session. The command has the options
    `--api-url` and `--api-key` in its place, and `--json` if the function returns an
    `Output`.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(
            *,
            api_url: str,
            api_key: str | None,
            as_json: bool = False,
            **arguments: Any,
        ) -> None:
            with connected(api_url, api_key, as_json=as_json) as session:
                output = function(session, **arguments)
                if isinstance(output, Output):
                    _write(output, session)
                    raise typer.Exit(output.exit_status())

        parameters = _command_parameters(function)
        # Typer reads the options of a command from its signature.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {
            parameter.name: parameter.annotation for parameter in parameters
        }
        app.command(name)(run)
        return function

    return register


def _command_parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of a function's command."""
    signature = inspect.signature(function)
    _, *own_parameters = signature.parameters.values()
    parameters = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for parameter in own_parameters
    ]
    if signature.return_annotation is Output:
        parameters.append(_AS_JSON)
    return [*parameters, _API_URL, _API_KEY]


def _write(output: Output, session: Session) -> None:
    document = output.document
    if not session.as_json:
        output.show()
    elif isinstance(document, list):
        session.screen.show_json([response.as_json() for response in document])
    elif isinstance(document, dict):
        session.screen.show_json(document)
    else:
        session.screen.show_json(document.as_json())


@contextmanager
def connected(
    api_url: str,
    api_key: str | None,
    *,
    as_json: bool = False,
) -> Iterator[Session]:
    """Open a session; on an error, write it to the screen and end the command.

    Raises:
        typer.Exit: The command failed, with its exit status.
    """
    with screen_only() as screen, ApiClient(api_url, api_key) as api:
        if api.shows_key:
            screen.complain(
                f"Warning: the API key is sent to {api.url} without encryption. Use https.",
            )
        yield Session(api, screen, as_json=as_json)


@contextmanager
def screen_only() -> Iterator[Screen]:
    """Open a screen without an API; on an error, end the command as `connected` does.

    Raises:
        typer.Exit: The command failed, with its exit status.
    """
    screen = Screen()
    try:
        yield screen
    except ConfigError as error:
        for fault in error.faults:
            screen.complain(str(fault))
        raise typer.Exit(1) from error
    except ClientError as error:
        for line in error.lines:
            screen.complain(line)
        raise typer.Exit(error.exit_status) from error
    except KeyboardInterrupt as error:
        screen.complain("Stopped.")
        raise typer.Exit(INTERRUPTED) from error
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        # This is a bug; people at a terminal get a sentence to report, not a traceback.
        screen.complain(f"Unexpected {type(error).__name__}: {error}")
        raise typer.Exit(1) from error

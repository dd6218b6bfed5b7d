"""A command's session: the API, the screen, the clock; errors become lines and an exit status."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from relay_core.domain.errors import ConfigError
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.errors import ClientError
from relay_dagster.client.terminal import Screen

INTERRUPTED = 130


def argument(metavar: str, text: str, *, default: str | bool = False) -> Any:
    """Return an argument of a command; ``default`` is how help shows its default."""
    return typer.Argument(metavar=metavar, help=text, show_default=default)


def option(text: str, *names: str, default: str | bool = True, **limits: Any) -> Any:
    """Return an option of a command; ``default`` is how help shows its default."""
    return typer.Option(*names, help=text, show_default=default, **limits)


Tenant = Annotated[str, argument("TENANT", "Whose.")]
RunId = Annotated[str, argument("RUN_ID", "The run.")]
Limit = Annotated[int, option("At most so many.", min=1)]


@dataclass(frozen=True)
class Session:
    """The means of a command; ``as_json`` where its answer is for programs."""

    api: ApiClient
    screen: Screen
    pause: Callable[[float], None] = time.sleep
    as_json: bool = False


@dataclass(frozen=True)
class Shown:
    """The answer of a command."""

    document: (
        Any  # for programs: JSON values, an answer of the API, or a list of answers
    )
    show: Callable[[], None]  # writes it for people
    exit_status: Callable[[], int] = lambda: 0  # asked after that: the command's


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a command of the API's client.

    Its first parameter is the session; the command has ``--api-url`` and ``--api-key`` in its
    place, and ``--json`` where the function returns `Shown`.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[1:]
        shows = signature.return_annotation is Shown
        every = inspect.signature(_options).parameters.values()
        added = [each for each in every if shows or each.name != "as_json"]

        def run(
            *,
            api_url: str,
            api_key: str | None,
            as_json: bool = False,
            **arguments: Any,
        ) -> None:
            with connected(api_url, api_key) as session:
                shown = function(replace(session, as_json=as_json), **arguments)
                if isinstance(shown, Shown):
                    document = shown.document
                    if not as_json:
                        shown.show()
                    elif isinstance(document, list):
                        session.screen.show_json([each.as_json() for each in document])
                    else:
                        plain = (
                            document
                            if isinstance(document, dict)
                            else document.as_json()
                        )
                        session.screen.show_json(plain)
                    raise typer.Exit(shown.exit_status())

        parameters = [*own, *added]
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[each.replace(kind=each.KEYWORD_ONLY) for each in parameters],
            return_annotation=None,
        )
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name)(run)
        return function

    return register


_KEY = (
    "An admin's or the tenant's key; the variable keeps it out of lists of processes."
)


def _options(
    as_json: Annotated[bool, option("JSON, for programs.", "--json")] = False,
    api_url: Annotated[
        str, option("Where the API is.", envvar="RELAY_API_URL")
    ] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None, option(_KEY, default=False, envvar="RELAY_API_KEY")
    ] = None,
) -> None:
    """Have the parameters that commands have beside their own."""


@contextmanager
def connected(api_url: str, api_key: str | None) -> Iterator[Session]:
    """Lend a session; end the command with its exit status, after saying what went wrong."""
    with screen_only() as screen, ApiClient(api_url, api_key) as api:
        if api.shows_key:
            screen.complain(
                f"warning: the key goes to {api.url} in the clear; use https"
            )
        yield Session(api, screen)


@contextmanager
def screen_only() -> Iterator[Screen]:
    """Lend the screen alone; end the command as `connected` does."""
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
        screen.complain("stopped")
        raise typer.Exit(INTERRUPTED) from error
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        # A defect of ours; people at a terminal get a sentence of it to report.
        screen.complain(f"unexpected {type(error).__name__}: {error}")
        raise typer.Exit(1) from error

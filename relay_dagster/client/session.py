"""One command's world: the API, the screen and the patience between two looks.

Whatever goes wrong inside becomes lines and an exit status here, never a stack trace.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from relay_core.domain.errors import ConfigError
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.errors import ClientError
from relay_dagster.client.terminal import Screen

INTERRUPTED = 130


@dataclass(frozen=True)
class Session:
    """What a command works with."""

    api: ApiClient
    screen: Screen
    pause: Callable[[float], None] = time.sleep


@contextmanager
def connected(api_url: str, api_key: str | None) -> Iterator[Session]:
    """Lend a session; end the command in good order whatever happens.

    Raises:
        typer.Exit: with the command's exit status, after saying what went wrong.
    """
    with telling() as screen, ApiClient(api_url, api_key) as api:
        if api.shows_key:
            screen.complain(f"warning: the key goes to {api.url} in the clear; use https")
        yield Session(api, screen)


@contextmanager
def telling() -> Iterator[Screen]:
    """Lend the screen alone; end the command as `connected` does."""
    screen = Screen()
    try:
        yield screen
    except ConfigError as error:
        _complain(screen, [str(fault) for fault in error.faults])
        raise typer.Exit(1) from error
    except ClientError as error:
        _complain(screen, error.lines)
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


def _complain(screen: Screen, lines: Iterable[str]) -> None:
    for line in lines:
        screen.complain(line)

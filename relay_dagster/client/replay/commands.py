"""`relay verify` and `relay rehearse`: options and flow, as in ``client/commands.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from relay_dagster.client.commands import LOCAL_API, ApiKey, ApiUrl, Json, RunId


def add_to(app: typer.Typer) -> None:
    """Give an application the commands that replay runs."""
    for command in (verify, rehearse):
        app.command()(command)


def verify(
    run_id: RunId, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Prove a run by replay: the engine here, over its inputs, gives the bytes of each CSV.

    Exit status 3 where it does not, with the first difference; 2 where its files are gone.
    """
    from relay_dagster.client.replay.trail import DIFFERENT
    from relay_dagster.client.replay.verify import Verification
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session, _folder() as folder:
        found = Verification(session, run_id, folder)
        if as_json:
            session.screen.show_json(found.as_json())
        else:
            found.show()
        raise typer.Exit(0 if found.is_same else DIFFERENT)


def rehearse(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="RUN_ID...", help="The runs.", show_default=False)
    ],
    config: Annotated[
        Path, typer.Option(metavar="FILE", help="The config to try.", show_default=False)
    ],
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Try a config on runs that were: what would change in their feeds, what the guards would say.

    Stores nothing. Exit status 3 where anything changes; 2 where a run's files are gone.
    """
    from relay_dagster.client.replay.rehearse import Rehearsal, read_config
    from relay_dagster.client.replay.trail import DIFFERENT
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        tried, found = read_config(config), []
        for run_id in run_ids:
            with _folder() as folder:
                found.append(Rehearsal(session, run_id, tried, folder))
            if not as_json:
                found[-1].show()
        if as_json:
            session.screen.show_json([each.as_json() for each in found])
        raise typer.Exit(0 if all(each.is_same for each in found) else DIFFERENT)


@contextmanager
def _folder() -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="relay-") as folder:
        yield Path(folder)

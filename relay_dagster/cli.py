"""The ``relay`` command. Each subcommand is thin, and imports only what it needs when it runs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="relay",
    help="One exact, priced inventory feed per merchant from many vendors' feeds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_BAD_USAGE = 2
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


@app.command()
def bootstrap(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; tell what is not as it must be.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Also set right what is there and differs.")
    ] = False,
) -> None:
    """Create the AWS resources that are missing; print `export NAME=value` lines for them."""
    if check:
        raise typer.Exit(_check())
    from relay_dagster.aws.bootstrap import provision

    provided = provision(repair=repair)
    for change in provided.changes:
        typer.echo(change, err=True)
    for name, value in provided.variables:
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API until it is told to stop."""
    from relay_dagster.api.app import serve

    serve(host, port)


@app.command()
def demo(
    output_dir: Annotated[
        Path, typer.Option(help="Where the run's artifacts are put, to look at afterwards.")
    ] = Path("out/demo"),
) -> None:
    """Run the sample tenant from end to end on embedded AWS, then end everything."""
    from relay_dagster.demo import run_demo

    raise typer.Exit(run_demo(output_dir))


@app.command()
def dev(
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    ui_port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
) -> None:
    """Start the same stack with the sample tenant, and leave it running until Ctrl-C."""
    from relay_dagster.demo import run_dev

    raise typer.Exit(run_dev(api_port=api_port, ui_port=ui_port))


def _check() -> int:
    from relay_dagster.aws.bootstrap import check
    from relay_dagster.settings import Settings

    differences = check(Settings.from_env())
    for difference in differences:
        typer.echo(difference, err=True)
    return int(bool(differences))


def main() -> None:
    """Run the command line; what is wrong with the environment is one line and exit status 2."""
    from relay_dagster.faults import WorldError
    from relay_dagster.settings import SettingsError

    try:
        app()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(_BAD_USAGE)
    except WorldError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The `relay` command: its groups of commands, and how it reports errors.

`command_tree` lists the commands, and `lazy_commands` loads each one when it is called.
"""

import sys

import typer

from relay_dagster.lazy_commands import RootGroup

_BAD_USAGE = 2
app = typer.Typer(
    name="relay",
    cls=RootGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def relay() -> None:
    """One exact, priced inventory feed per merchant from many vendors' feeds."""


def main() -> None:
    """Run the command line; errors of usage and of the environment are one line."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        problem = _usage_problem(error)
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "relay"
        # A line without arguments gets help, and has no problem to report.
        if problem:
            print(f"{path}: {problem} See: {path} --help", file=sys.stderr)
        sys.exit(_BAD_USAGE)
    except Exception as error:
        _end_with_one_line(error)
        raise


def _end_with_one_line(error: Exception) -> None:
    """Print an error of the environment and exit; return if the error is another one."""
    # These modules take as long to load as the list of commands takes to print.
    from relay_dagster.external_errors import ExternalServiceError
    from relay_dagster.settings import SettingsError

    if isinstance(error, SettingsError):
        print(error, file=sys.stderr)
        sys.exit(_BAD_USAGE)
    if isinstance(error, ExternalServiceError):
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


def _usage_problem(error: typer.TyperException) -> str:
    """Return the problem of a command line, without the words that Typer adds to it."""
    format_message = getattr(error, "format_message", error.__str__)
    text = " ".join(str(format_message()).split())
    text = text.replace("Value error, ", "")
    return text if text.endswith(("?", ".")) or not text else f"{text}."


if __name__ == "__main__":
    main()

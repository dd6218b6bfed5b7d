"""`relay local` in the tree of commands: its help, and the way to its command line.

Help and completion come from Typer, like those of all commands. `options` parses the
line, because a local run that loads Typer starts later.
"""

from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from relay_dagster.local.options import OPTIONS, SOURCES, Option

_HELP = "--help"
commands = typer.Typer()


class _LocalCommand(TyperCommand):
    """Hands its words to the command line of the local runner."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words as they are, unless they ask for help."""
        if _HELP in args:
            words: list[str] = super().parse_args(ctx, args)
            return words
        ctx.args = args
        return args

    def invoke(self, ctx: Any) -> None:
        """Run the command line, and end with its exit status."""
        from relay_dagster.local.command import main

        raise typer.Exit(main(ctx.args, ctx.command_path))


def _with_options(function: Callable[[], None]) -> Callable[..., None]:
    """Give a function the parameters that Typer makes the options in help from."""
    parameters = [_parameter(option) for option in (*SOURCES, *OPTIONS)]
    # Typer reads the signature and the annotations.
    function.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {
        parameter.name: parameter.annotation for parameter in parameters
    }
    return function


def _parameter(option: Option) -> Parameter:
    kind: Any = Path if option.is_path else str
    default: Any = None
    if option.metavar is None:
        kind = bool
        default = False
    elif option.repeats:
        kind = list[str]
        default = []
    settings: dict[str, Any] = {"help": option.help, "show_default": False}
    if option.metavar is not None:
        settings["metavar"] = option.metavar
    if option.name.startswith("-"):
        annotation = typer.Option(option.name, **settings)
    else:
        annotation = typer.Argument(**settings)
    return Parameter(
        option.name.lstrip("-").replace("-", "_"),
        Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, annotation],
    )


@commands.command(cls=_LocalCommand)
@_with_options
def local() -> None:
    """Run or check a config over files of this machine, without a server.

    The files are those of `--vendor-file`, and otherwise those of `inbound.path` in the
    config. The exit status is 0 if there is a feed, and 1 if the run fails. It is 2 for
    bad usage or a bad config, and nothing is written then. It is 3 if guards put the feed
    on hold. With `--check`, it is 0 if a run would not fail, and otherwise 1.
    """

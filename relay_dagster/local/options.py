"""The options of `relay local`, and the parser of its command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from relay_core.publish.keys import ArtifactKeys

_KEYS = ArtifactKeys("", "")


class Option(NamedTuple):
    """An option of the command line, or its argument.

    Attributes:
        name: The name, such as `--now`; the argument's has no dashes.
        metavar: The value in help; a flag has none.
        help: The description.
        is_path: Whether the value is a path.
        repeats: Whether the option can be repeated.
        default: The value without the option.
    """

    name: str
    metavar: str | None
    help: str
    is_path: bool = False
    repeats: bool = False
    default: Any = None


SOURCES = (
    Option(
        "path",
        "CONFIG",
        "Config file of the tenant, YAML or JSON.",
        is_path=True,
    ),
    Option(
        "--config",
        "FILE",
        "Config file of the tenant, in place of CONFIG.",
        is_path=True,
    ),
    Option(
        "--tenant",
        "NAME",
        "Bundled sample tenant, such as acme_parts, in place of CONFIG.",
    ),
)
"""The places of a config. A command line names one of them."""
OPTIONS = (
    Option(
        "--vendor-file",
        "VENDOR=FILE",
        "File of a vendor, or of a part as VENDOR/PART=FILE; can be repeated. The default "
        "is inbound.path of the config.",
        repeats=True,
    ),
    Option(
        "--sku-map",
        "VENDOR=FILE",
        "SKU map of a vendor; can be repeated.",
        repeats=True,
    ),
    Option(
        "--baseline",
        "FILE",
        f"{_KEYS.published_state} of the run to compare the feed with.",
        is_path=True,
    ),
    Option(
        "--overrides",
        "FILE",
        f"SKU overrides, in the form of {_KEYS.overrides}.",
        is_path=True,
    ),
    Option(
        "--explain",
        "SKU",
        "Explain the SKU's row of the feed as a JSON line; can be repeated.",
        repeats=True,
    ),
    Option(
        "--check",
        None,
        "Check the files without a run: print their problems and the config patch that "
        "fixes them, and write nothing.",
    ),
    Option(
        "--output-dir",
        "DIR",
        "Output folder of the run. The default is out.",
        is_path=True,
        default=Path("out"),
    ),
    Option("--run-id", "ID", "Run ID. The default is a new UUID."),
    Option("--now", "ISO", "Time of the run. The default is now."),
)
"""The other options of the command line."""


def parser(program: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line of a program."""
    arguments = argparse.ArgumentParser(
        prog=program,
        description="Run one tenant's files on this machine.",
        allow_abbrev=False,
    )
    sources = arguments.add_mutually_exclusive_group(required=True)
    for option in SOURCES:
        _add(sources, option)
    for option in OPTIONS:
        _add(arguments, option)
    return arguments


def _add(target: argparse._ActionsContainer, option: Option) -> None:
    if option.metavar is None:
        target.add_argument(option.name, action="store_true", help=option.help)
        return
    settings: dict[str, Any] = {
        "metavar": option.metavar,
        "type": Path if option.is_path else str,
        "default": option.default,
        "help": option.help,
    }
    if option.repeats:
        settings |= {"action": "append", "default": []}
    if not option.name.startswith("-"):
        settings["nargs"] = "?"
    target.add_argument(option.name, **settings)

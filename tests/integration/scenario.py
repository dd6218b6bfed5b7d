"""What a scenario is, and the list of all of them.

A scenario is a function of a running installation. Its docstring's first line says what breaks and
what must come of it; what it returns is the outcome to show.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.installation import Installation

Body = Callable[["Installation"], str]

_MODULES = (
    "requests",
    "queue",
    "processes",
    "deployments",
    "world",
    "buttons",
    "crowds",
    "multitudes",
    "holds",
    "triggers",
    "webhooks",
    "pulls",
    "feed_deliveries",
    "deletions",
)
_ALL: dict[str, Scenario] = {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to break the installation.

    ``row`` is the line of docs/RESILIENCE.md that it holds, ``seconds`` about how long it takes
    (the longest go first). A ``crowd`` keeps the processors busy, the others mostly wait.
    """

    name: str
    row: str
    seconds: int
    smoke: bool
    crowd: bool
    body: Body

    @property
    def claim(self) -> str:
        """What must come of it."""
        return inspect.getdoc(self.body).partition("\n\n")[0].replace("\n", " ")


def scenario(
    row: str, *, seconds: int, smoke: bool = False, crowd: bool = False
) -> Callable[[Body], Body]:
    """Enter a function into the list."""

    def enter(body: Body) -> Body:
        name = body.__name__
        if name in _ALL:
            raise ValueError(f"two scenarios are called {name}")
        _ALL[name] = Scenario(name, row, seconds, smoke, crowd, body)
        return body

    return enter


def all_scenarios() -> dict[str, Scenario]:
    """Return every scenario by name, in the order of their rows."""
    for module in _MODULES:
        importlib.import_module(f"integration.scenarios.{module}")
    return dict(sorted(_ALL.items(), key=lambda pair: _order(pair[1].row)))


def _order(row: str) -> tuple[int, str]:
    digits = "".join(character for character in row if character.isdigit())
    return (int(digits) if digits else 1000, row)

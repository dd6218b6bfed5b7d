"""Relay's engine: vendors' files in, one exact, priced feed out.

``docs/PYTHON.md`` describes these names. They are loaded when they are first used, so that
the import of the package takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay_core.domain.errors import ConfigError as ConfigError
    from relay_core.domain.errors import ConfigFault as Fault
    from relay_core.library.configs import Config as Config
    from relay_core.library.configs import load_config as load_config
    from relay_core.library.functions import check as check
    from relay_core.library.functions import propose as propose
    from relay_core.library.functions import run as run
    from relay_core.library.results import Check as Check
    from relay_core.library.results import Result as Result

__all__ = [
    "Check",
    "Config",
    "ConfigError",
    "Fault",
    "Result",
    "check",
    "load_config",
    "propose",
    "run",
]
_PLACES = {
    "Check": ("library.results", "Check"),
    "Config": ("library.configs", "Config"),
    "ConfigError": ("domain.errors", "ConfigError"),
    "Fault": ("domain.errors", "ConfigFault"),
    "Result": ("library.results", "Result"),
    "check": ("library.functions", "check"),
    "load_config": ("library.configs", "load_config"),
    "propose": ("library.functions", "propose"),
    "run": ("library.functions", "run"),
}
"""The module of each public name, and its name there."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, source = _PLACES[name]
    value = getattr(import_module(f"{__name__}.{module}"), source)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

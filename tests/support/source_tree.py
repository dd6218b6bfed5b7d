"""The modules of the project's source: their order, and the imports of each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Every folder and module of both packages, leaves first: each imports only from places above its
# own, and from within itself. What is in a folder stands here where it has a place of its own: the
# rules of features, from tenants to triggers, are below the stores, who acts by them is above.
ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "relay_core": (
        ("domain",),
        ("config",),
        ("columnar",),
        ("sandbox",),
        ("ingest",),
        ("products",),
        ("kernel",),
        ("validation",),
        ("normalize",),
        ("merge",),
        ("publish",),
        ("report",),
        ("onboarding",),
        ("vendor_pass",),
        ("run_stages",),
        ("samples",),
        ("mapped_files",),
        ("first_config",),
        ("library",),
    ),
    "relay_dagster": (
        (
            "settings",
            "logs",
            "tags",
            "external_errors",
            "drain",
            "loading",
        ),
        ("changed_files",),
        ("tenants",),
        ("runs",),
        ("feeds",),
        ("webhooks",),
        ("triggers",),
        ("deliveries",),
        ("wire",),
        ("work",),
        ("aws",),
        ("ledger",),
        ("wiring",),
        ("transfers",),
        ("execution",),
        ("intake",),
        ("maintenance",),
        ("orchestration",),
        ("http",),
        ("services",),
        # Neither knows the other: a floor's places do not import one another.
        ("api", "web"),
        ("server",),
        ("client",),
        ("replay",),
        ("local",),
        ("component",),
        ("devstack",),
        ("definitions", "command_tree"),
        ("launching", "lazy_commands"),
        (
            "cli",
            "server_commands",
            "celery_app",
            "run_coordinator",
            "run_launcher",
        ),
        ("start",),
    ),
}

_PLACES = {
    place for floors in ORDER.values() for floor in floors for place in floor
}


@dataclass(frozen=True)
class Module:
    """A source file, read when somebody first asks what it holds."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text("utf-8"))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Return the full dotted names that it imports, inside functions too."""
        package = self.path.relative_to(ROOT).parts[:-1]
        return frozenset(_imported(self.tree, package))

    @property
    def package(self) -> str:
        return top_name(self.name)

    @property
    def place(self) -> str | None:
        """Return the folder or top module of its package; None is the package's `__init__`."""
        return place_of(self.name)

    def is_in(self, package: str) -> bool:
        return f"{self.name}.".startswith(f"{package}.")


@cache
def modules(top: str) -> tuple[Module, ...]:
    """Return every module under a top folder."""
    return tuple(map(_module, sorted((ROOT / top).rglob("*.py"))))


def our_modules() -> Iterator[Module]:
    for package in ORDER:
        yield from modules(package)


def _module(path: Path) -> Module:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return Module(name.removesuffix(".__init__"), path)


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Yield a block and all statements in it, without their expressions, which are far more."""
    yield block
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(block, part, ())
        for statement in inner if isinstance(inner, list) else ():
            yield from _statements(statement)


def _imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = (
                package[: len(package) - node.level + 1] if node.level else ()
            )
            source = ".".join([*parts, *([node.module] if node.module else [])])
            yield source
            names = (f"{source}.{alias.name}" for alias in node.names)
            yield from (name for name in names if _is_module(name))


@cache
def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def top_name(dotted: str) -> str:
    return dotted.partition(".")[0]


def place_of(name: str) -> str | None:
    """Return the folder or top module of its package that a dotted name lies in."""
    package, *parts = name.split(".")
    if package not in ORDER or not parts:
        return None
    inner = "/".join(parts[:2])
    return inner if inner in _PLACES else parts[0]


def may_import(package: str, place: str, imported: str) -> bool:
    """Return whether a place stands on a lower floor than another one."""

    def rank_of(name: str) -> int:
        return next(
            rank for rank, places in enumerate(ORDER[package]) if name in places
        )

    return rank_of(imported) < rank_of(place)


def places_imported(module: Module) -> set[str]:
    """Return the other places of its own package that a module imports from."""
    own_names = (
        name for name in module.imports if top_name(name) == module.package
    )
    return {place for name in own_names if (place := place_of(name))} - {
        module.place
    }

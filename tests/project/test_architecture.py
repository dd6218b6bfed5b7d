"""The dependency rules, executed: who may import whom, and what the engine must not touch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Every folder and module of both packages, leaves first: each imports only from places above its
# own, and from within itself.
ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "relay_core": (
        ("domain",),
        ("config",),
        ("columnar",),
        ("ingest",),
        ("validation",),
        ("normalize",),
        ("merge",),
        ("publish",),
        ("onboarding",),
        ("pipeline",),
        ("stages",),
        ("samples",),
    ),
    "relay_dagster": (
        (
            "settings",
            "logs",
            "loopback",
            "tags",
            "external_errors",
            "mapped_files",
            "audit",
            "drain",
        ),
        ("runs",),
        ("aws",),
        ("wiring",),
        ("execution",),
        ("intake",),
        ("reconciler",),
        ("triggers",),
        ("notify",),
        ("orchestration",),
        ("api",),
        ("client",),
        ("devstack",),
        ("definitions",),
        ("cli", "celery_app", "run_coordinator"),
    ),
}
CORE_MAY_IMPORT = {
    *("cronsim", "jinja2", "numpy", "pandas", "pandera", "pyarrow", "pydantic", "relay_core"),
    "yaml",
}
# What stands above the API and is not for it: it answers from the record.
NOT_FOR_THE_API = ("execution", "intake", "reconciler", "triggers", "notify", "orchestration")
MAX_MODULES, MAX_LINES = 20, 500
DEFINES_FOR_DAGSTER = {
    "asset",
    "asset_check",
    "sensor",
    "run_status_sensor",
    "schedule",
    "multi_asset",
}
DAGSTER_BASES = {
    "Config",
    "ConfigurableResource",
    "ConfigurableResourceFactory",
    "ConfigurableIOManager",
}


@dataclass(frozen=True)
class Module:
    """One source file and what it imports."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def imports(self) -> set[str]:
        """Full dotted names of the modules imported, also those imported inside functions."""
        return set(_imported(self))


def _imported(module: Module) -> Iterator[str]:
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            source = ".".join([*parts, *([node.module] if node.module else [])])
            yield source
            yield from (
                f"{source}.{a.name}" for a in node.names if _is_module(f"{source}.{a.name}")
            )


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def modules(top: str) -> tuple[Module, ...]:
    """Parse every module under a top folder."""
    found = []
    for path in sorted((ROOT / top).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        name = dotted.removesuffix(".__init__")
        found.append(Module(name, path, ast.parse(path.read_text("utf-8"))))
    return tuple(found)


def module_params(top: str) -> list[object]:
    return [pytest.param(module, id=module.name) for module in modules(top)]


def place_of(name: str) -> str | None:
    """Return the folder or top module of its package that a dotted name lies in."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] or None if package in ORDER else None


def rank_of(package: str, place: str) -> int:
    return next(rank for rank, places in enumerate(ORDER[package]) if place in places)


def places_imported(module: Module) -> set[str]:
    """Return the other places of its own package that a module imports from."""
    own = (name for name in module.imports if top_name(name) == top_name(module.name))
    return {place for name in own if (place := place_of(name))} - {place_of(module.name)}


OUR_MODULES = [param for package in ORDER for param in module_params(package)]


def top_name(dotted: str) -> str:
    return dotted.partition(".")[0]


# --- both packages ------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ORDER)
def test_every_folder_and_module_has_a_place_in_the_order(package: str) -> None:
    found = {place for module in modules(package) if (place := place_of(module.name))}
    known = {place for places in ORDER[package] for place in places}
    assert found == known


@pytest.mark.parametrize("module", OUR_MODULES)
def test_a_module_imports_only_from_places_above_its_own(module: Module) -> None:
    package, own = top_name(module.name), place_of(module.name)
    if own is not None:
        below = {p for p in places_imported(module) if rank_of(package, p) >= rank_of(package, own)}
        assert below == set()


@pytest.mark.parametrize("package", ORDER)
def test_modules_form_no_cycle(package: str) -> None:
    names = {module.name for module in modules(package)}
    graph = {
        module.name: (module.imports & names) - {module.name, package}
        for module in modules(package)
    }
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", ORDER)
def test_a_folder_and_a_module_can_be_looked_over(package: str) -> None:
    files = [module.path for module in modules(package)]
    folders = Counter(path.parent for path in files if path.name != "__init__.py")
    assert {path: n for path, n in folders.items() if n > MAX_MODULES} == {}
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


# --- relay_core ---------------------------------------------------------------------------------


@pytest.mark.parametrize("module", module_params("relay_core"))
def test_the_engine_imports_the_standard_library_and_its_few_packages_alone(module: Module) -> None:
    foreign = {top_name(name) for name in module.imports} - CORE_MAY_IMPORT
    assert foreign <= sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize("module", module_params("relay_core"))
def test_the_engine_hides_no_import_of_its_own_in_a_function(module: Module) -> None:
    inner = [
        node
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        and (node.level or top_name(node.module or "") == "relay_core")
    ]
    assert inner == []


_FORBIDDEN_IN_CORE = re.compile(
    r"^(open|io\.open|input|print)$|^os\.(environ|getenv|getenvb|open|listdir|scandir)"
    r"|(^|\.)(datetime|date)\.(now|utcnow|today)$|^time\.(time|time_ns|monotonic|perf_counter|sleep)$"
    r"|\.(read_text|read_bytes|write_text|write_bytes)$"
)


@pytest.mark.parametrize(
    "module",
    [pytest.param(m, id=m.name) for m in modules("relay_core") if m.name != "relay_core.samples"],
)
def test_the_engine_touches_no_clock_no_disk_and_no_environment(module: Module) -> None:
    used = {
        ast.unparse(node)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert sorted(name for name in used if _FORBIDDEN_IN_CORE.search(name)) == []


# --- relay_dagster ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_boto3_lives_in_the_aws_folder_alone(module: Module) -> None:
    if not module.name.startswith("relay_dagster.aws"):
        assert {top_name(name) for name in module.imports}.isdisjoint({"boto3", "botocore"})


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_the_api_answers_from_the_record_and_asks_nobody_who_executes(module: Module) -> None:
    if place_of(module.name) == "api":
        assert places_imported(module).isdisjoint(NOT_FOR_THE_API)


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_only_the_command_line_starts_the_development_stack(module: Module) -> None:
    if place_of(module.name) != "cli":
        assert "devstack" not in places_imported(module)


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_the_rules_of_runs_know_no_framework_and_have_no_clock(module: Module) -> None:
    if place_of(module.name) != "runs":
        return
    foreign = {top_name(name) for name in module.imports} - {"relay_core", "relay_dagster"}
    assert foreign <= sys.stdlib_module_names | {"__future__"}
    read = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    clocks = {name for name in read if re.search(r"^datetime\.(now|today)$|^time\.", name)}
    # The one clock for all who are given no other.
    allowed = {"datetime.now"} if module.name == "relay_dagster.runs.ports" else set()
    assert clocks <= allowed


def test_partitions_are_known_without_anything_else() -> None:
    (module,) = (m for m in modules("relay_dagster") if m.name.endswith(".partitions"))
    assert {name for name in module.imports if top_name(name) == "relay_dagster"} == set()


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_assets_know_no_jobs_sensors_or_api(module: Module) -> None:
    if module.name.startswith("relay_dagster.orchestration.assets"):
        above = (
            "relay_dagster.orchestration.jobs",
            "relay_dagster.orchestration.sensors",
            "relay_dagster.api",
        )
        assert [name for name in module.imports if name.startswith(above)] == []


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_private_dagster_modules_are_not_imported(module: Module) -> None:
    assert [name for name in module.imports if name.startswith("dagster._")] == []


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_a_module_that_defines_things_for_dagster_keeps_its_annotations_real(
    module: Module,
) -> None:
    if _defines_for_dagster(module.tree):
        assert "__future__" not in module.imports


def _defines_for_dagster(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            if {_last_name(decorator) for decorator in node.decorator_list} & DEFINES_FOR_DAGSTER:
                return True
        elif isinstance(node, ast.ClassDef) and {_last_name(b) for b in node.bases} & DAGSTER_BASES:
            return True
    return False


def _last_name(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(target).rpartition(".")[2]


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_the_api_imports_no_dagster_side(module: Module) -> None:
    if module.name.startswith("relay_dagster.api"):
        tops = {top_name(name) for name in module.imports}
        assert tops.isdisjoint({"dagster", "dagster_aws", "pandas", "pyarrow", "pandera", "numpy"})


def test_the_api_process_loads_neither_dagster_nor_the_frames() -> None:
    names = [m.name for m in modules("relay_dagster") if m.name.startswith("relay_dagster.api")]
    program = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "heavy = {'dagster', 'dagster_aws', 'numpy', 'pandas', 'pandera', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("module", module_params("relay_dagster"))
def test_a_client_command_knows_the_api_by_its_answers_alone(module: Module) -> None:
    if module.name.startswith("relay_dagster.client"):
        ours = {name for name in module.imports if top_name(name) == "relay_dagster"}
        others = {n for n in ours if not n.startswith("relay_dagster.client")}
        assert others <= {f"relay_dagster{leaf}" for leaf in ("", ".loopback", ".mapped_files")}


# --- what is declared ---------------------------------------------------------------------------


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {_canonical(re.split(r"[\[<>=~! ;]", line, maxsplit=1)[0]) for line in lines}


def _beside(*tops: str) -> set[str]:
    """Return the names under which files of these folders import one another."""
    files = [path for top in tops for path in (ROOT / top).rglob("*.py")]
    return {path.stem for path in files} | {path.parent.name for path in files}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("top", ["relay_core", "relay_dagster", "scripts", "tests", "benchmarks"])
def test_every_package_that_is_imported_is_declared(top: str) -> None:
    own = {"relay_core", "relay_dagster", "__future__"} | _beside(top) | _beside("scripts", "tests")
    imported = {top_name(name) for module in modules(top) for name in module.imports}
    distributions = metadata.packages_distributions()
    undeclared = {
        name
        for name in imported - own - sys.stdlib_module_names
        if not {_canonical(d) for d in distributions.get(name, [name])} & _declared()
    }
    assert undeclared == set()


def test_nothing_is_called_a_drawer_for_leftovers() -> None:
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py"}
    tops = ("relay_core", "relay_dagster", "scripts", "tests")
    assert [m.path for top in tops for m in modules(top) if m.path.name in drawers] == []

"""The dependency rules, executed: who may import whom, and what the engine must not touch.

A test lists all that break its rule.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from importlib import metadata

from support.source_tree import (
    ORDER,
    ROOT,
    Module,
    may_import,
    modules,
    our_modules,
    places_imported,
    top_name,
)

CORE_MAY_IMPORT = {
    *(
        "cronsim",
        "jinja2",
        "numpy",
        "pandas",
        "pandera",
        "pyarrow",
        "pydantic",
        "xlrd",
    ),
    *("pydantic_core", "relay_core", "yaml"),
}
STANDARD = sys.stdlib_module_names | {"__future__"}
# What stands above the API and is not for it: it answers from the record.
NOT_FOR_THE_API = {
    *("execution", "intake", "maintenance", "orchestration"),
    *("transfers", "work"),
}
# The places whose modules the process of the API and the pages loads.
SERVING = ("http", "services", "api", "web", "server")
# Folders that decide what becomes of records: rules, and the ledger that applies them.
DECIDING = ("tenants", "runs", "feeds", "webhooks", "triggers", "ledger")
MAX_MODULES = 20
MAX_LINES = 500
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
TOPS = ("relay_core", "relay_dagster", "scripts", "tests", "benchmarks")


def of_place(*places: str) -> list[Module]:
    """Return the modules in these folders of `relay_dagster`; every one must be there."""
    own_modules = [
        module for module in modules("relay_dagster") if module.place in places
    ]
    assert {module.place for module in own_modules} == set(places)
    return own_modules


def imports_of(among: Iterable[Module], forbidden: set[str]) -> list[str]:
    """Return who imports a package that is forbidden by its top name."""
    return sorted(
        f"{module.name} imports {name}"
        for module in among
        for name in module.imports
        if top_name(name) in forbidden
    )


def foreign_imports(
    among: Iterable[Module], allowed: Iterable[str]
) -> list[str]:
    """Return who imports a package that is neither standard nor allowed."""
    return sorted(
        f"{module.name} imports {name}"
        for module in among
        for name in {top_name(name) for name in module.imports}
        - STANDARD
        - {*allowed}
    )


# --- both packages ------------------------------------------------------------------------------


def test_every_folder_and_module_has_a_place_in_the_order() -> None:
    placed = {
        package: {p for places in ORDER[package] for p in places}
        for package in ORDER
    }
    existing = {
        package: {m.place for m in modules(package)} - {None}
        for package in ORDER
    }
    assert existing == placed


def test_a_module_imports_only_from_places_above_its_own() -> None:
    assert [
        f"{module.name} imports from {place}"
        for module in our_modules()
        if module.place
        for place in places_imported(module)
        if not may_import(module.package, module.place, place)
    ] == []


def test_modules_form_no_cycle() -> None:
    names = {module.name for module in our_modules()}
    graph = {
        m.name: (m.imports & names) - {m.name, m.package} for m in our_modules()
    }
    assert len([*TopologicalSorter(graph).static_order()]) == len(names)


def test_a_folder_and_a_module_can_be_looked_over() -> None:
    paths = [module.path for module in our_modules()]
    folders = Counter(
        path.parent for path in paths if path.name != "__init__.py"
    )
    assert {path: n for path, n in folders.items() if n > MAX_MODULES} == {}
    lengths = {
        path: len(path.read_text("utf-8").splitlines()) for path in paths
    }
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


def test_no_constant_is_bound_twice_in_a_module() -> None:
    """The second one would stand where the first is meant, and no other check says so."""
    bound = Counter(
        (module.name, target.id)
        for module in our_modules()
        for node in module.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for target in (
            target.elts if isinstance(target, ast.Tuple) else [target]
        )
        if isinstance(target, ast.Name) and target.id.isupper()
    )
    assert [
        f"{module} binds {name}"
        for (module, name), times in bound.items()
        if times > 1
    ] == []


def test_nothing_is_called_a_drawer_for_leftovers() -> None:
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert [
        m.path for top in TOPS for m in modules(top) if m.path.name in drawers
    ] == []


# --- relay_core ---------------------------------------------------------------------------------


def test_the_engine_imports_the_standard_library_and_its_few_packages_alone() -> (
    None
):
    assert foreign_imports(modules("relay_core"), CORE_MAY_IMPORT) == []


LOADED_LATE = {
    "relay_core.validation.row_checks": "the contracts load pandas and Pandera, a third of "
    "the start of a run, which only rows that need a verdict have to pay",
    "relay_core.config.reading.documents": "PyYAML, which configs in JSON do not need",
    "relay_core.ingest.formats": "the readers of other formats than CSV, and the sandbox, "
    "which only a feed that is read apart needs",
    "relay_core.normalize.vendor_feed": "the kinds of files, which only an unreadable "
    "feed needs, with the readers of workbooks",
    "relay_core.vendor_pass": "the guesses of patches, which only rejected rows need",
}
"""The modules that load another one in a function, each with the reason."""


def test_the_engine_hides_no_import_of_its_own_in_a_function() -> None:
    assert [
        f"{module.name}:{node.lineno}"
        for module in modules("relay_core")
        if module.name not in LOADED_LATE
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        and (node.level or top_name(node.module or "") == "relay_core")
    ] == []


_FORBIDDEN_IN_CORE = re.compile(
    r"^(open|io\.open|input|print)$|^os\.(environ|getenv|getenvb|open|listdir|scandir)"
    r"|(^|\.)(datetime|date)\.(now|utcnow|today)$|^time\.(time|time_ns|monotonic|perf_counter|sleep)$"
    r"|\.(read_text|read_bytes|write_text|write_bytes)$"
)


def test_the_engine_touches_no_clock_no_disk_and_no_environment() -> None:
    assert [
        f"{module.name} uses {name}"
        for module in modules("relay_core")
        if not module.is_in("relay_core.library")
        and module.name not in ("relay_core.samples", "relay_core.mapped_files")
        for name in sorted(_names_read(module, ast.Name | ast.Attribute))
        if _FORBIDDEN_IN_CORE.search(name)
    ] == []


def _names_read(module: Module, kinds: type | tuple[type, ...]) -> set[str]:
    return {
        ast.unparse(node)
        for node in ast.walk(module.tree)
        if isinstance(node, kinds) and isinstance(node.ctx, ast.Load)
    }


# --- relay_dagster ------------------------------------------------------------------------------


def test_boto3_lives_in_the_aws_folder_alone() -> None:
    outside_aws = [
        m for m in modules("relay_dagster") if not m.is_in("relay_dagster.aws")
    ]
    assert imports_of(outside_aws, {"boto3", "botocore"}) == []


def test_the_api_answers_from_the_record_and_asks_nobody_who_executes() -> None:
    imports = {
        module.name: places_imported(module) & NOT_FOR_THE_API
        for module in of_place(*SERVING)
    }
    assert {name: places for name, places in imports.items() if places} == {}


def test_the_api_and_the_pages_meet_in_the_services_alone() -> None:
    """Neither calls the other's routes; what both need is a service, which knows no HTTP."""
    assert [
        f"{module.name} imports from {place}"
        for module in of_place("api", "web")
        for place in places_imported(module) & {"api", "web"}
    ] == []
    web_frameworks = {"fastapi", "starlette"}
    assert imports_of(of_place("services"), web_frameworks) == []


def test_only_the_command_line_starts_the_development_stack() -> None:
    starters = [
        m for m in modules("relay_dagster") if "devstack" in places_imported(m)
    ]
    assert {module.place for module in starters} == {"server_commands"}


def test_the_rules_of_runs_know_no_framework() -> None:
    assert foreign_imports(of_place(*DECIDING), ORDER) == []


def test_the_rules_of_runs_have_no_clock() -> None:
    clock = re.compile(r"^datetime\.(now|today)$|^time\.")
    names_read = [
        (m.name, n)
        for m in of_place(*DECIDING)
        for n in _names_read(m, ast.Attribute)
    ]
    # The one clock for all who are given no other.
    allowed = ("relay_dagster.runs.ports", "datetime.now")
    assert [
        name_read
        for name_read in names_read
        if clock.search(name_read[1]) and name_read != allowed
    ] == []


def test_the_job_and_its_partitions_are_known_without_anything_else() -> None:
    (module,) = (
        m for m in modules("relay_dagster") if m.name.endswith(".jobs")
    )
    assert imports_of([module], {"relay_dagster"}) == []


def test_assets_know_no_sensors_or_api() -> None:
    orchestration = "relay_dagster.orchestration"
    above = (f"{orchestration}.sensors", "relay_dagster.api")
    assets = [
        m
        for m in modules("relay_dagster")
        if m.is_in(f"{orchestration}.assets")
    ]
    assert assets
    assert [
        f"{module.name} imports {name}"
        for module in assets
        for name in module.imports
        if name.startswith(above)
    ] == []


def test_a_module_that_defines_things_for_dagster_keeps_its_annotations_real() -> (
    None
):
    defining = [
        m
        for m in modules("relay_dagster")
        if any(_definitions_for_dagster(m.tree))
    ]
    assert defining
    assert [
        module.name for module in defining if "__future__" in module.imports
    ] == []


def _definitions_for_dagster(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = node.decorator_list
            known_names = DEFINES_FOR_DAGSTER
        elif isinstance(node, ast.ClassDef):
            names = node.bases
            known_names = DAGSTER_BASES
        else:
            continue
        if {_last_name(name) for name in names} & known_names:
            yield node.name


def _last_name(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(target).rpartition(".")[2]


def test_the_api_imports_no_dagster_side() -> None:
    heavy = {"dagster", "dagster_aws", "pandas", "pyarrow", "pandera", "numpy"}
    assert imports_of(of_place(*SERVING), heavy) == []


def test_the_api_process_loads_neither_dagster_nor_the_frames() -> None:
    names = [module.name for module in of_place(*SERVING)]
    program = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "heavy = {'dagster', 'dagster_aws', 'numpy', 'pandas', 'pandera', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout.strip(), process.stderr) == ("[]", "")


def test_a_client_command_knows_the_api_by_its_answers_alone() -> None:
    places = ("client", "replay", "wire")
    allowed = [f"relay_dagster.{place}" for place in places]
    assert [
        f"{module.name} imports {name}"
        for module in of_place("client", "replay")
        for name in module.imports
        if top_name(name) == "relay_dagster" and name != "relay_dagster"
        if not f"{name}.".startswith(
            tuple(f"{package}." for package in allowed)
        )
    ] == []


def test_the_wire_is_cheap_to_load() -> None:
    names = [module.name for module in of_place("wire")]
    heavy = [
        "fastapi",
        "botocore",
        "dagster",
        "numpy",
        "pandas",
        "pyarrow",
        "yaml",
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout.strip(), process.stderr) == ("[]", "")


# --- what is declared ---------------------------------------------------------------------------


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"].values()
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in extra),
    ]
    return {
        _canonical(re.split(r"[\[<>=~! ;]", line, maxsplit=1)[0])
        for line in lines
    }


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _beside(*tops: str) -> set[str]:
    """Return the names under which files of these folders import one another."""
    files = [module.path for top in tops for module in modules(top)]
    return {path.stem for path in files} | {path.parent.name for path in files}


def test_every_package_that_is_imported_is_declared() -> None:
    distributions = metadata.packages_distributions()
    declared = _declared()
    beside = _beside("scripts", "tests")
    undeclared = {}
    for top in TOPS:
        allowed = (
            STANDARD | {"relay_core", "relay_dagster"} | _beside(top) | beside
        )
        for name in {
            top_name(name) for m in modules(top) for name in m.imports
        } - allowed:
            if (
                not {_canonical(d) for d in distributions.get(name, [name])}
                & declared
            ):
                undeclared[top] = name
    assert undeclared == {}

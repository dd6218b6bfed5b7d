"""The output of a check of files as YAML: the findings are comments, the patch the document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from relay_core.columnar.arrow_start import use_arrow_alone
from relay_core.config.reading.json_patch import Path, apply_patch
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.library.checks import FileCheck, FilesCheck, check_files
from relay_core.library.requests import Request
from relay_core.library.runner import RunClock
from relay_core.onboarding import findings
from relay_core.publish.findings import RunFindings
from relay_dagster.local.progress import progress

_CATALOG_PATH: Path = ("catalog",)
_PART_PATH_LENGTH = 4
"""The number of steps to a part, such as ``vendors.0.parts.1``."""


def check(request: Request, assumed: Sequence[str]) -> int:
    """Check the feeds, and print the findings and the patch.

    Args:
        request: The files, and what a run would need.
        assumed: The required options that the config lacks, and that the check assumes.

    Returns:
        The exit status: 0 if a run would use the feeds, else 1.
    """
    use_arrow_alone()
    config = request.config
    if config is None:
        code = UnsupportedSchemaVersionError.error_code
        print(_comment(f"{code}: {request.unsupported}"))
        return 1
    clock = RunClock()
    with progress(clock, request.files.size):
        result = check_files(request, config, clock)
    for file in result.files.values():
        for line in _lines_about(file, result.run):
            print(_comment(line))
    if result.inputs_without_file:
        names = ", ".join(result.inputs_without_file)
        print(_comment(f"vendors without a file: {names}"))
    if assumed:
        print(
            _comment(
                f"the config lacks {', '.join(assumed)}: a run needs them, and "
                "this check uses defaults",
            ),
        )
    print(_comment(result.verdict))
    doubts = [doubt.as_dict() for doubt in result.doubts]
    print(_yaml({"doubts": doubts}), end="")
    _print_patch(request, result)
    return 0 if result.run.failure is None else 1


def _lines_about(
    file: FileCheck,
    run: RunFindings,
) -> Iterator[str]:
    """Yield the findings about one file, line by line."""
    config = file.config
    vendor = file.vendor
    result = file.feed_check
    verdict = "problems found"
    if result is not None and findings.is_right(result, vendor, config):
        verdict = "no problems"
        if result.doubts:
            verdict = "usable, with doubts"
    yield f"{file.name}, {file.file_name}: {verdict}"
    if result is None:
        yield f"  {file.result}"
        return
    for sentence in findings.sentences_of(result):
        yield f"  {sentence}"
    for message in findings.limits_passed(result.best, vendor, config):
        yield f"  a run would fail: {message}"
    # The rows of a vendor's parts are among those of the vendor.
    rows = run.rows.get(file.name)
    if rows is not None and rows.won is not None:
        counts = [
            f"{count:,} {name}"
            for name, count in rows.as_dict().items()
            if count and name != "parts"
        ]
        yield f"  rows: {', '.join(counts)}"


def _print_patch(request: Request, result: FilesCheck) -> None:
    """Print the parsers of the vendors that a patch would change."""
    patch = result.patch(request)
    if not patch:
        return
    patched_document = apply_patch(request.document, patch)
    sections: dict[str, Any] = {}
    for path, vendor_changes in result.changes.items():
        if not vendor_changes:
            continue
        if path == _CATALOG_PATH:
            sections["catalog"] = {
                "parser": patched_document["catalog"]["parser"]
            }
            continue
        vendor = patched_document["vendors"][path[1]]
        section = {"vendor_id": vendor["vendor_id"]}
        if len(path) == _PART_PATH_LENGTH:
            part = vendor["parts"][path[-1]]
            section["part_id"] = part["part_id"]
            section["parser"] = part["parser"]
        else:
            section["parser"] = vendor["parser"]
        sections.setdefault("vendors", []).append(section)
    print(_comment("Replace all these parsers in the config:"))
    print(_yaml(sections), end="")


def _comment(line: str) -> str:
    """Return a line as a YAML comment, with escapes for characters that do not print."""
    characters = [
        character if character.isprintable() else repr(character)[1:-1]
        for character in line
    ]
    return f"# {''.join(characters)}"


class _Dumper(yaml.SafeDumper):
    """Writes the scalars of a config as plain texts, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: a mapping that occurs twice is written twice."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_str(str(text))


_Dumper.add_multi_representer(str, _represent_text)


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
    )
    return text

"""The report of a run, and report.json, which stores it.

A report of a newer release can be read: unknown fields and blocks are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from relay_core.domain.cell_rules import cut
from relay_core.report.blocks import (
    Action,
    Block,
    Figure,
    Figures,
    File,
    Tone,
    Verdict,
    block_from_json,
    block_to_json,
    from_json,
    to_json,
)

MAX_TEXT_LENGTH = 2_000
"""The number of characters of a text that a report shows."""
VERSION = 1
"""The version of report.json. It changes when an older reader would go wrong."""


class Chapter(NamedTuple):
    """The part of a report about one subject."""

    name: str  # stable, such as ``vendors``
    title: str
    blocks: tuple[Block, ...] = ()
    tone: Tone = ""
    # Values under labels that never change, for programs and charts
    facts: Mapping[str, str | int] = MappingProxyType({})
    # The numbers of the chapter in lines of plain text, for terminals
    lines: tuple[str, ...] = ()


class Report(NamedTuple):
    """A run's report: its result, and its chapters in the order for readers."""

    run_id: str
    tenant_id: str
    status: str
    requested_at: str  # an instant, as `blocks.Kind` describes it
    timezone: str  # the tenant's time zone, in which renderers show times
    currency: str  # the currency of amounts; empty if the run made none
    config_version: int | None
    engine_version: str
    is_compiled: bool  # whether the engine had its compiled kernel
    verdict: Verdict
    chapters: tuple[Chapter, ...] = ()
    files: tuple[File, ...] = ()  # the files of the run

    def chapter(self, name: str) -> Chapter | None:
        """Return a chapter, or None if the report does not have it."""
        for chapter in self.chapters:
            if chapter.name == name:
                return chapter
        return None

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of all chapters in order."""
        for chapter in self.chapters:
            yield from chapter.blocks

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of all chapters."""
        figures: list[Figure] = []
        for block in self.blocks():
            if isinstance(block, Figures):
                figures += block.figures
        return tuple(figures)

    @property
    def facts(self) -> dict[str, str | int]:
        """The facts of all chapters, in order."""
        facts: dict[str, str | int] = {}
        for chapter in self.chapters:
            facts |= chapter.facts
        return facts

    @property
    def lines(self) -> tuple[str, ...]:
        """The numbers of all chapters in lines of plain text."""
        return tuple(
            line for chapter in self.chapters for line in chapter.lines
        )

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of all chapters."""
        return tuple(
            block for block in self.blocks() if isinstance(block, Action)
        )

    def file(self, name: str) -> File | None:
        """Return a file of the run by its artifact's name, or None."""
        for file in self.files:
            if file.name == name:
                return file
        return None


def report_json(report: Report) -> bytes:
    """Return the bytes of report.json, which are the same for equal reports."""
    document = {
        "version": VERSION,
        **report._asdict(),
        "verdict": block_to_json(report.verdict),
        "chapters": [
            {
                "name": chapter.name,
                "title": chapter.title,
                "tone": chapter.tone,
                "facts": dict(chapter.facts),
                "lines": list(chapter.lines),
                "blocks": [block_to_json(block) for block in chapter.blocks],
            }
            for chapter in report.chapters
        ],
        "files": [to_json(file) for file in report.files],
    }
    text = json.dumps(_cut(document), ensure_ascii=False, indent=1)
    # JSON writes half of a pair of characters, which UTF-8 does not have, in this way.
    return f"{text}\n".encode(errors="backslashreplace")


def _cut(content: Any) -> Any:
    """Return a JSON value in which no text is longer than a report shows."""
    if isinstance(content, str):
        return cut(content, MAX_TEXT_LENGTH)
    if isinstance(content, dict):
        return {name: _cut(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_cut(value) for value in content]
    return content


def read_report(data: bytes) -> Report:
    """Return the report of report.json, of this release or a newer one.

    Raises:
        ValueError: The bytes are not a report.
    """
    try:
        document = json.loads(data)
        fields = {
            name: document[name] for name in Report._fields if name in document
        }
        fields["verdict"] = from_json(Verdict, document["verdict"])
        fields["chapters"] = tuple(
            _chapter_of(chapter) for chapter in document["chapters"]
        )
        fields["files"] = tuple(
            from_json(File, file) for file in document.get("files", ())
        )
        return Report(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = "the document is not a report of a run"
        raise ValueError(message) from error


def _chapter_of(document: Mapping[str, Any]) -> Chapter:
    blocks = map(block_from_json, document["blocks"])
    return Chapter(
        name=document["name"],
        title=document["title"],
        blocks=tuple(block for block in blocks if block is not None),
        tone=document.get("tone", ""),
        facts=document.get("facts", {}),
        lines=tuple(document.get("lines", ())),
    )

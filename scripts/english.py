#!/usr/bin/env python3
"""Find English that reads like a translation, in documents, pages, help, and docstrings.

usage: english.py [--worst N] [PATH...]

It prints each place as ``file:line: rule: text``, then the number of places per rule. The rules
are those of `RULES`, and the limit of words in a sentence of a document.
``tests/project/test_english.py`` holds the project to them, with a short list of exceptions.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_WORDS = 35

RULES = {
    "stands": r"\b(stands?|stood)\b(?! (for|in for|still)\b)",
    "so many": r"\bso (many|much|long as is|few)\b",
    "such a": r"\bsuch an? \w+",
    "of which": r"(?<!each )(?<!one )\bof (which|whom)\b",
    "what is": r"\bwhat (is|are|was|were|has|have|it|they|comes|came|follows)\b",
    "whoever": r"\bwhoever\b",
    "the most": r"\bat the (most|least)\b|\b(are|is) the most\b",
    "in force": r"\bfeeds? in force\b",
    "take over": r"\btak(e|es|en|ing) (it|them|this|that) over\b|\btook it over\b",
    "under way": r"\bunder way\b",
    "remedy": r"\bremed(y|ies)\b",
    "put off": r"\b(put|puts|putting) off\b",
    "needs doing": r"\bneeds doing\b",
    "signed in": r"\bwho has signed in\b",
    "is no": r"(?<!there )\bis no (row|file|record|vendor|number|text|run|feed)\b",
    "said": r"\b(is|are|was|were) (said|told|asked|wanted|shown) (of|by|for|to be)\b",
    "has it": r"\b(as|where|when|who|what) (one|it|they|each) (has|have) (it|them|one)\b",
    "pronoun first": r"(?<=\. )(Whether|Those|Such|So much|That which) ",
}
"""Words and turns that `docs` and users' texts avoid, by name."""

_COMPILED = {
    name: re.compile(pattern, re.IGNORECASE if name != "pronoun first" else 0)
    for name, pattern in RULES.items()
}
_WEAK_STARTS = (
    *(
        "What",
        "Whether",
        "Where",
        "Whose",
        "Who",
        "Which",
        "That",
        "Those",
        "These",
    ),
    *("Such", "So", "It", "Its", "They", "Them", "All"),
    *("Nothing", "Everything", "Anything", "Somebody", "Nobody"),
)
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`*\"\[(])")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Place:
    """A text that breaks a rule, with where it is."""

    path: Path
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        where = (
            self.path.relative_to(ROOT)
            if self.path.is_absolute()
            else self.path
        )
        return f"{where}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True)
class Passage:
    """A piece of text with the line that it begins on."""

    line: int
    text: str


def places_in(path: Path) -> Iterator[Place]:
    """Yield each place of a file that breaks a rule."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        paragraphs = list(_paragraphs(text))
        yield from _long_sentences(path, paragraphs)
        yield from _matches(path, paragraphs)
    elif path.suffix == ".py":
        tree = ast.parse(text)
        yield from _weak_docstrings(path, tree)
        yield from _matches(path, [*_docstrings(tree), *_messages(tree)])
        yield from _matches(path, _comments(text))
    else:
        yield from _matches(path, _template_texts(text))


def _matches(path: Path, passages: Iterable[Passage]) -> Iterator[Place]:
    for passage in passages:
        for rule, pattern in _COMPILED.items():
            for match in pattern.finditer(passage.text):
                line = passage.line + passage.text.count("\n", 0, match.start())
                yield Place(path, line, rule, _around(passage.text, match))


def _around(text: str, match: re.Match[str]) -> str:
    start = max(0, match.start() - 40)
    return " ".join(text[start : match.end() + 40].split())


# --- documents -------------------------------------------------------------------------


def _paragraphs(text: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items, and table cells of a Markdown text, without code."""
    lines: list[str] = []
    start = 1
    is_code = False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
            line = ""
        begins_block = not line.strip() or re.match(r"\s*([-*|#>]|\d+\.)", line)
        if is_code or begins_block or line.startswith("    "):
            if lines:
                yield Passage(start, "\n".join(lines))
            lines = []
            start = number
        if is_code or not line.strip() or line.startswith("    "):
            continue
        if line.lstrip().startswith("|"):
            for cell in line.strip().strip("|").split("|"):
                yield Passage(number, _without_code(cell))
            continue
        if not lines:
            start = number
        lines.append(_without_code(line))


def _without_code(line: str) -> str:
    return re.sub(r"`[^`]*`", "`code`", line)


def _long_sentences(
    path: Path,
    paragraphs: Iterable[Passage],
) -> Iterator[Place]:
    for paragraph in paragraphs:
        for sentence in _SENTENCE_END.split(paragraph.text):
            words = sentence.split()
            if len(words) > MAX_WORDS:
                shown = " ".join(words[:12])
                rule = f"over {MAX_WORDS} words"
                yield Place(
                    path,
                    paragraph.line,
                    rule,
                    f"{shown} ... ({len(words)})",
                )


# --- Python and templates --------------------------------------------------------------


def _docstrings(tree: ast.Module) -> Iterator[Passage]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            is_text = isinstance(statement, ast.Expr) and isinstance(
                statement.value,
                ast.Constant,
            )
            if is_text and isinstance(statement.value.value, str):
                yield Passage(statement.lineno, statement.value.value)


def _weak_docstrings(path: Path, tree: ast.Module) -> Iterator[Place]:
    """Yield docstrings of functions that begin with a pronoun instead of a verb."""
    for node in ast.walk(tree):
        if not isinstance(node, _FUNCTIONS):
            continue
        text = ast.get_docstring(node)
        first_word = text.split()[0] if text else ""
        if first_word in _WEAK_STARTS:
            shown = " ".join((text or "").split()[:10])
            yield Place(path, node.lineno, "docstring without a verb", shown)


def _messages(tree: ast.Module) -> Iterator[Passage]:
    """Yield the texts of four words or more that are no docstrings: messages and help."""
    docstrings = {passage.text for passage in _docstrings(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(
            node.value,
            str,
        ):
            continue
        if node.value not in docstrings and len(node.value.split()) > 3:
            yield Passage(node.lineno, node.value)


def _comments(text: str) -> Iterator[Passage]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(token.start[0], token.string.lstrip("# "))


def _template_texts(text: str) -> Iterator[Passage]:
    for number, line in enumerate(text.splitlines(), 1):
        words = re.sub(r"<[^>]*>|\{[%{#].*?[%}#]\}", " ", line)
        if words.strip():
            yield Passage(number, words)


# --- the command -----------------------------------------------------------------------


def default_paths() -> list[Path]:
    """Return the documents, templates, and modules that users and developers read."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    paths = [path for path in documents if path.name != "CHANGELOG.md"]
    for package in ("relay_core", "relay_dagster", "scripts"):
        for suffix in ("*.py", "*.html", "*.j2", "*.yaml"):
            paths += (ROOT / package).rglob(suffix)
    return sorted(path for path in paths if "feeds" not in path.parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the places and their number; return the exit status, 1 if there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument(
        "--worst",
        type=int,
        default=0,
        metavar="N",
        help="list the N worst files only",
    )
    options = parser.parse_args(argv)
    places: list[Place] = []
    for path in options.paths or default_paths():
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            places += places_in(file.resolve())
    if options.worst:
        by_file = Counter(place.path for place in places)
        for path, count in by_file.most_common(options.worst):
            print(f"{count:5} {path.relative_to(ROOT)}")
    else:
        for place in places:
            print(place)
    by_rule = Counter(place.rule for place in places)
    for rule, count in by_rule.most_common():
        print(f"{count:6} {rule}")
    print(f"{len(places):6} places")
    return int(bool(places))


if __name__ == "__main__":
    sys.exit(main())

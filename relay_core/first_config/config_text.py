"""The text of a first config, from the drafts of its vendors and the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay_core.config.reading.scalars import NumberText
from relay_core.domain.limits import Limits
from relay_core.first_config.answers import Answers
from relay_core.first_config.commented_yaml import commented_yaml
from relay_core.first_config.comments import config_comments
from relay_core.first_config.drafts import (
    VendorDraft,
    draft_of,
    vendor_document,
    vendor_ids,
)
from relay_core.first_config.trial import Trial, tried
from relay_core.mapped_files import InputFile
from relay_core.samples.starter import starter_config

_WILDCARDS = ("*", "?")


@dataclass(frozen=True)
class FirstConfig:
    """A first config, and the trial run over its files.

    Attributes:
        text: The config as YAML, with a comment above each line.
        trial: The result of the trial.
    """

    text: str
    trial: Trial


def drafts_of(
    files: Sequence[tuple[InputFile, str | None]],
    limits: Limits,
) -> list[VendorDraft]:
    """Return the draft of a vendor for each file, with IDs from the files' names.

    Args:
        files: Each file, and its path from the config's folder or None.
        limits: The limits of feeds.
    """
    ids = vendor_ids(file.name for file, _ in files)
    return [
        draft_of(vendor_id, file, _plain(path), limits)
        for vendor_id, (file, path) in zip(ids, files, strict=True)
    ]


def first_config(
    answers: Answers, limits: Limits, now: datetime
) -> FirstConfig:
    """Return the config that has the answers, and try it at a time."""
    trial = tried(_document(answers), answers.drafts, limits, now)
    comments = config_comments(trial.config, answers, trial.totals)
    return FirstConfig(commented_yaml(trial.document, comments), trial)


def _document(answers: Answers) -> dict[str, Any]:
    """Return the document of the config, without an error policy."""
    document = starter_config(currency=answers.currency.value)
    margin = NumberText(answers.margin.value)
    document["pricing"]["base_margin_pct"] = margin
    document["vendors"] = [
        vendor_document(draft.vendor_id, draft.parser, draft.path)
        for draft in answers.drafts
    ]
    return document


def _plain(path: str | None) -> str | None:
    """Return a path, or None if a config would read it as a pattern."""
    if path is None or any(char in path for char in _WILDCARDS):
        return None
    return path

"""The command `relay new`: a first config from vendors' files."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import counted
from relay_core.first_config.answers import Answers, likeliest_answers
from relay_core.first_config.comments import (
    sku_reason,
    unsure_guesses,
    vendor_notes,
)
from relay_core.first_config.config_text import drafts_of, first_config
from relay_core.first_config.drafts import VendorDraft
from relay_core.first_config.trial import Trial
from relay_core.mapped_files import InputFile
from relay_core.samples.starter import TENANT_ID, TIMEZONE
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import argument, option, screen_only
from relay_dagster.client.terminal import Screen
from relay_dagster.local.questions import asked_answers
from relay_dagster.settings import LimitSettings

_FILE_NAME = "tenant.yaml"
commands = typer.Typer()


@commands.command()
def new(
    files: Annotated[
        list[Path],
        argument("FILE...", "Vendors' files, one per vendor."),
    ],
    output_dir: Annotated[
        Path,
        option("Folder for tenant.yaml.", show_default="this folder"),
    ] = Path(),
    force: Annotated[
        bool,
        option("Replace a tenant.yaml that exists.", "--force"),
    ] = False,
) -> None:
    """Write a first config from vendors' files, and print the command that runs it.

    At a terminal, the command asks for what the files do not say. The exit status is 0
    if a run with the config would succeed, and 1 if it would fail. In both cases, the
    config is written, with a comment on each line.
    """
    limits = LimitSettings.from_env().limits
    tune_process()
    with screen_only() as screen:
        status = write_first_config(
            files,
            output_dir / _FILE_NAME,
            screen,
            limits,
            replaces=force,
        )
    raise typer.Exit(status)


def write_first_config(
    paths: Sequence[Path],
    target: Path,
    screen: Screen,
    limits: Limits,
    *,
    replaces: bool,
) -> int:
    """Write a config for files, and return the exit status of `relay new`.

    Raises:
        BadUsageError: A file cannot be read or written, or the target exists.
    """
    if any(path.resolve() == target.resolve() for path in paths):
        raise BadUsageError(f"{target} is one of the vendors' files.")
    if target.exists() and not replaces:
        raise BadUsageError(f"{target} exists. To replace it, add --force.")
    answers = answers_about(paths, screen, limits, target.parent)
    config = first_config(answers, limits, datetime.now(UTC))
    _write(target, config.text)
    report(answers, config.trial, screen)
    screen.say(f"{target} is written. Read its comments, then run:")
    screen.say(local_command(target, answers.drafts, paths), whole=True)
    return 0 if config.trial.findings.failure is None else 1


def answers_about(
    paths: Sequence[Path],
    screen: Screen,
    limits: Limits,
    folder: Path | None = None,
) -> Answers:
    """Return the drafts of vendors' files, and the answers that the files do not give.

    At a terminal, the person there is asked.

    Args:
        paths: The files, one per vendor.
        screen: The terminal.
        limits: The limits of feeds and configs.
        folder: The folder of a config that names the files; None if it does not.

    Raises:
        BadUsageError: A file cannot be read, or there are too many.
    """
    if len(paths) > limits.vendors:
        raise BadUsageError(
            f"{len(paths)} files are too many: a tenant has at most {limits.vendors} vendors.",
        )
    files = [
        (
            _read(path, limits),
            None if folder is None else os.path.relpath(path, folder),
        )
        for path in paths
    ]
    drafts = drafts_of(files, limits)
    is_asked = screen.is_terminal and sys.stdin.isatty()
    return (
        asked_answers(drafts, screen) if is_asked else likeliest_answers(drafts)
    )


def local_command(
    target: Path,
    drafts: Sequence[VendorDraft],
    paths: Sequence[Path],
) -> str:
    """Return the command of a local run with a config, for a shell.

    It names the files of vendors whose files the config does not name.
    """
    words = ["relay", "local", str(target)]
    for draft, path in zip(drafts, paths, strict=True):
        if draft.path is None:
            words += ["--vendor-file", f"{draft.vendor_id}={path}"]
    return shlex.join(words)


def _read(path: Path, limits: Limits) -> InputFile:
    try:
        return InputFile.at(path, limits.feed_bytes)
    except OSError as error:
        raise BadUsageError(f"{path}: {error.strerror or error}") from None


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    except OSError as error:
        raise BadUsageError(f"{target}: {error.strerror or error}") from None


def _lines_about(
    index: int,
    draft: VendorDraft,
    config: TenantConfig,
) -> Iterator[str]:
    """Yield the lines about a file: its reading, and the guesses."""
    yield from vendor_notes(index, draft, config)
    if draft.sku_header is not None:
        yield sku_reason(draft)
    yield from unsure_guesses(draft)


def report(answers: Answers, trial: Trial, screen: Screen) -> None:
    """Print the findings about the files, the assumptions, and the trial's result."""
    for index, draft in enumerate(answers.drafts):
        screen.details(
            f"{draft.file.name} is vendor {draft.vendor_id}:",
            _lines_about(index, draft, trial.config),
        )
    currency = answers.currency
    margin = answers.margin
    screen.details(
        "Settings of the tenant:",
        (
            f"tenant_id: {TENANT_ID}. Assumed.",
            f"timezone: {TIMEZONE}. Assumed.",
            f"default_currency: {currency.value}. {currency.reason}",
            f"base_margin_pct: {margin.value}. {margin.reason}",
        ),
    )
    totals = trial.totals
    if totals.rejected:
        screen.say(
            f"error_policy: {totals.rejected:,} of {totals.rows:,} rows are rejected, and "
            "the limits accept that.",
        )
    failure = trial.findings.failure
    if failure is None:
        skus = counted(trial.findings.record_count, "SKU")
        screen.say(f"A run would succeed, with {skus} in the feed.")
    else:
        message = " ".join(failure.error_message.splitlines())
        screen.complain(
            f"A run would fail: {failure.error_code}: {message}",
        )

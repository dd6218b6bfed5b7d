"""The command `relay new`: a first config from vendors' files."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import relay_dagster
from relay_core.config import TenantConfig
from relay_core.config.reading.scalars import NumberText
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import counted
from relay_core.samples.starter import TENANT_ID, TIMEZONE, starter_config
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import argument, option, screen_only
from relay_dagster.client.terminal import Screen
from relay_dagster.first_config.answers import (
    Answers,
    asked_answers,
    likeliest_answers,
)
from relay_dagster.first_config.commented_yaml import commented_yaml
from relay_dagster.first_config.comments import (
    config_comments,
    sku_reason,
    unsure_guesses,
    vendor_notes,
)
from relay_dagster.first_config.drafts import (
    VendorDraft,
    draft_of,
    vendor_document,
    vendor_ids,
)
from relay_dagster.first_config.trial import Trial, tried
from relay_dagster.mapped_files import InputFile
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
    first_config = first_config_of(paths, screen, limits)
    _write(target, first_config.text)
    report(first_config, screen)
    screen.say(f"{target} is written. Read its comments, then run:")
    screen.say(local_run_command(target, first_config.drafts), whole=True)
    return 0 if first_config.trial.findings.failure is None else 1


@dataclass(frozen=True)
class FirstConfig:
    """A first config, and how it came about.

    Attributes:
        drafts: The drafts of the vendors, in the order of their files.
        answers: The answers that the files do not give.
        trial: The trial of the config.
    """

    drafts: Sequence[VendorDraft]
    answers: Answers
    trial: Trial

    @property
    def text(self) -> str:
        """The config as YAML, with the reason for each line."""
        comments = config_comments(
            self.trial.config,
            self.answers,
            self.trial.totals,
        )
        return commented_yaml(self.trial.document, comments)


def first_config_of(
    paths: Sequence[Path],
    screen: Screen,
    limits: Limits,
) -> FirstConfig:
    """Return a config for files. At a terminal, ask for what the files do not say.

    Raises:
        BadUsageError: A file cannot be read, or there are too many.
    """
    if len(paths) > limits.vendors:
        raise BadUsageError(
            f"{len(paths)} files are too many: a tenant has at most {limits.vendors} vendors.",
        )
    inputs = [_read(path, limits) for path in paths]
    ids = vendor_ids(path.name for path in paths)
    drafts = [
        draft_of(vendor_id, path, file, limits)
        for vendor_id, path, file in zip(ids, paths, inputs, strict=True)
    ]
    is_asked = screen.is_terminal and sys.stdin.isatty()
    answers = (
        asked_answers(drafts, screen) if is_asked else likeliest_answers(drafts)
    )
    trial = tried(_document(answers), answers.drafts, limits)
    return FirstConfig(drafts, answers, trial)


def local_run_command(target: Path, drafts: Sequence[VendorDraft]) -> str:
    """Return the command of a local run with a config and its files, for a shell."""
    root = Path(relay_dagster.__file__).parent.parent
    words = [
        _short(Path(sys.executable)),
        _short(root / "scripts" / "local_run.py"),
        "--config",
        str(target),
    ]
    for draft in drafts:
        words += ["--vendor-file", f"{draft.vendor_id}={draft.path}"]
    return shlex.join([*words, "--output-dir", str(target.parent / "out")])


def _short(path: Path) -> str:
    """Return a path as it is named in the current folder, if it is below it."""
    folder = Path.cwd()
    return str(
        path.relative_to(folder) if path.is_relative_to(folder) else path
    )


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


def _document(answers: Answers) -> dict[str, Any]:
    """Return the document of the config, without an error policy."""
    document = starter_config(currency=answers.currency.value)
    margin = NumberText(answers.margin.value)
    document["pricing"]["base_margin_pct"] = margin
    document["vendors"] = [
        vendor_document(draft.vendor_id, draft.parser)
        for draft in answers.drafts
    ]
    return document


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


def report(first_config: FirstConfig, screen: Screen) -> None:
    """Print the findings about the files, the assumptions, and the trial's result."""
    answers = first_config.answers
    trial = first_config.trial
    for index, draft in enumerate(answers.drafts):
        screen.details(
            f"{draft.path} is vendor {draft.vendor_id}:",
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

"""The scaffolder of the component: ``defs.yaml`` and a first config from sample files."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import BaseModel, Field

from relay_core.first_config.commented_yaml import Comments, commented_yaml

if TYPE_CHECKING:
    from relay_core.first_config.drafts import VendorDraft

CONFIG_FILE = "tenant.yaml"
DEFS_FILE = "defs.yaml"
_COMMENTS: Comments = {
    ("attributes", "config"): (
        "The settings of the shop and of each vendor's files. The comments in the file say why "
        "each line is there.",
    ),
    ("attributes", "inputs"): (
        "The file of each vendor: a path from this folder, whose last part may have * and ? (the "
        "newest file is read); s3://bucket/prefix/ (the newest object is read); or {asset: key}.",
    ),
    ("attributes", "folder"): (
        "The folder for the feed, its state, and its reports: a path from this folder, or "
        "s3://bucket/prefix.",
    ),
}


class ScaffoldParams(BaseModel):
    """The options of ``dg scaffold defs`` for the component."""

    file: list[str] = Field(
        default=[],
        description="A sample file of a vendor; can be repeated.",
    )


class MerchantFeedScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Looks at sample files of vendors, as ``relay new`` does, and writes what fits them."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return the options."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write ``defs.yaml`` and the config.

        Raises:
            SystemExit: There is no sample file, or one cannot be read.
        """
        from relay_core.first_config.config_text import first_config
        from relay_dagster.client.errors import ClientError
        from relay_dagster.client.terminal import Screen
        from relay_dagster.local.new import answers_about, report
        from relay_dagster.settings import LimitSettings

        folder = request.target_path
        paths = [Path(name) for name in request.params.file]
        screen = Screen()
        try:
            _check(request)
            limits = LimitSettings.from_env().limits
            answers = answers_about(paths, screen, limits)
        except ClientError as error:
            # `dg` has made the folder, and would refuse to write to it again.
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            sys.exit(f"Error: {error}")
        config = first_config(answers, limits, datetime.now(UTC))
        _write(request, answers.drafts, config.text)
        report(answers, config.trial, screen)
        screen.say(
            f"{folder / DEFS_FILE} and {CONFIG_FILE} are written. Read their comments, then run: "
            "dg check defs",
        )


def _write(
    request: dg.ScaffoldRequest[ScaffoldParams],
    drafts: Sequence["VendorDraft"],
    config_text: str,
) -> None:
    """Write ``defs.yaml`` and the config."""
    folder = request.target_path
    inputs = {
        draft.vendor_id: _path_from(folder, Path(name), request.project_root)
        for draft, name in zip(drafts, request.params.file, strict=True)
    }
    document = {
        "type": request.type_name,
        "attributes": {
            "config": CONFIG_FILE,
            "inputs": inputs,
            "folder": f"{{{{ context.project_root }}}}/feeds/{folder.name}",
            "key_prefix": folder.name,
        },
    }
    (folder / CONFIG_FILE).write_text(config_text, "utf-8")
    defs = commented_yaml(document, _COMMENTS).lstrip()
    (folder / DEFS_FILE).write_text(defs, "utf-8")


def _check(request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
    """Check that the request is one for files, in YAML.

    Raises:
        BadUsageError: It is not.
    """
    from relay_dagster.client.errors import BadUsageError

    if request.scaffold_format != "yaml" or request.append:
        raise BadUsageError(
            f"The component is written as a {DEFS_FILE} of its own. Use --format yaml.",
        )
    if not request.params.file:
        raise BadUsageError(
            "Name a sample file of each vendor: --file a.csv --file b.xlsx",
        )


def _path_from(folder: Path, path: Path, project: Path | None) -> str:
    """Return a path from the folder of the definitions, if the file is in the project."""
    whole_path = path.resolve()
    if project is not None and whole_path.is_relative_to(project.resolve()):
        return Path(os.path.relpath(whole_path, folder.resolve())).as_posix()
    return str(whole_path)

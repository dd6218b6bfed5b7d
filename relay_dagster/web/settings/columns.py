"""The page where a person says what each column of a vendor's file is."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Response
from starlette.datastructures import QueryParams

from relay_core.config.reading.json_patch import PatchStep, apply_patch
from relay_core.domain.columns import INPUT_COLUMNS
from relay_core.domain.errors import ConfigFault
from relay_core.domain.input_names import name_of
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.services import tenants
from relay_dagster.services.config_checks import check_document
from relay_dagster.web import frame, visits, words
from relay_dagster.web.overview import vendor_path
from relay_dagster.web.settings import editing
from relay_dagster.web.settings.groups import PAGES
from relay_dagster.web.settings.pages import SETTINGS, settings_path
from relay_dagster.web.settings.vendors import vendor_index
from relay_dagster.wire.config_checks import ConfigCheck, VendorCheck

routes = frame.page_router()

_COLUMNS = SETTINGS + "/vendors/{vendor_id}/columns"
_MAX_HEADERS = 200
_MAX_CELL = 40
# These columns are made by Relay, so no header of a file is one of them.
_NOT_IN_FILES = ("vendor_id",)


class VendorFile(NamedTuple):
    """A vendor's own file, or the file of one of its parts."""

    vendor_id: str
    part_id: str | None

    @property
    def name(self) -> str:
        """The name of the input that the file arrives at."""
        return name_of(self.vendor_id, self.part_id)

    def section(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section of a config that describes the file.

        Raises:
            ProblemError: The config has no such vendor, or no such part (404).
        """
        index = vendor_index(document, self.vendor_id)
        vendor: dict[str, Any] = document["vendors"][index]
        if self.part_id is None:
            return vendor
        for part in vendor.get("parts") or ():
            if part.get("part_id") == self.part_id:
                section: dict[str, Any] = part
                return section
        raise ProblemError("NOT_FOUND", "the vendor does not have this file")

    def check(
        self, visit: visits.Visit, document: Mapping[str, Any]
    ) -> ConfigCheck:
        """Return the check of the latest file with a config."""
        return check_document(
            visit.tenant_id,
            dict(document),
            visit.parts,
            input_name=self.name,
        )


class FileColumn(NamedTuple):
    """A column of a vendor's file, and the column of Relay that it is read as."""

    header: str
    samples: Sequence[str]
    column: str  # the column of Relay, or "" if it is not used


@routes.get(_COLUMNS)
def show_columns(
    vendor_id: str, visit: visits.Configuring, part: str | None = None
) -> Response:
    """Show the columns of a vendor's latest file, as the check would read them.

    ``part`` is the ID of a part of the vendor; by default, the file is its own.
    """
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.stored_document(stored)
    file = VendorFile(vendor_id, part or None)
    check = file.check(visit, document)
    steps = [PatchStep(step.op, step.path, step.value) for step in check.patch]
    section = file.section(apply_patch(document, steps))
    return _columns_page(visit, stored, file, section["parser"], check)


@routes.post(_COLUMNS)
def choose_columns(
    vendor_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Check the file with other columns, review the change, or save it."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    file = VendorFile(vendor_id, form.get("part") or None)
    repeated = _repeated_column(form)
    is_trial = form.get("step") in ("try", "edit") or bool(repeated)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        file.section(document)["parser"] = _chosen_parser(form)
        return document

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        if faults and not repeated:
            raise invalid_request(faults)
        parser = file.section(document)["parser"]
        check = file.check(visit, document)
        return _columns_page(
            visit,
            stored,
            file,
            parser,
            check,
            is_chosen=True,
            repeated=repeated,
        )

    if is_trial:
        draft = editing.draft_of(visit, stored, change)
        return show_form(draft.document, draft.faults)
    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=f"Columns of {file.name}",
            path=settings_path(visit, "vendors", vendor_id, "columns"),
            change=change,
            show_form=show_form,
            next_path=vendor_path(visit.tenant_id, vendor_id),
        )
    )


def _choices_of(form: QueryParams) -> list[tuple[str, str]]:
    """Return the header and the column of each row of the form."""
    choices = []
    for index in range(_MAX_HEADERS):
        header = form.get(f"header.{index}")
        if header is None:
            break
        choices.append((header, form.get(f"as.{index}", "")))
    return choices


def _repeated_column(form: QueryParams) -> str:
    """Return a column that two headers of the file are; "" if there is none."""
    columns: set[str] = set()
    for _, column in _choices_of(form):
        if column and column in columns:
            return column
        columns.add(column)
    return ""


def _chosen_parser(form: QueryParams) -> dict[str, Any]:
    """Return the parser of the form with the columns that a person chose.

    Entries that read several headers stay, unless another header is chosen for them.

    Raises:
        ProblemError: The form was changed by hand, and has no parser (422).
    """
    try:
        parser = json.loads(form.get("parser", ""), parse_float=str)
        column_map = dict(parser.get("column_map") or {})
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        fault = ConfigFault("parser", "must be a parser of the config")
        raise invalid_request([fault]) from error
    choices = _choices_of(form)
    headers = {header for header, _ in choices}
    chosen_map = {
        column: source
        for column, source in column_map.items()
        if not isinstance(source, str) or source not in headers
    }
    for header, column in choices:
        # A header that is a column's own name needs no entry.
        if column and (header != column or column in column_map):
            chosen_map[column] = header
    if chosen_map or column_map:
        parser["column_map"] = chosen_map
    return dict(parser)


def _columns_page(
    visit: visits.Visit,
    stored: StoredConfig,
    file: VendorFile,
    parser: Mapping[str, Any],
    check: ConfigCheck,
    *,
    is_chosen: bool = False,
    repeated: str = "",
) -> Response:
    """Return the page of a file's columns as a parser reads them.

    ``is_chosen`` is True if the check was made with this parser, not with a proposal.
    """
    vendor_check = check.vendors[0] if check.vendors else None
    reading = None
    if vendor_check is not None:
        reading = vendor_check.as_sent
        if not is_chosen and vendor_check.with_patch is not None:
            reading = vendor_check.with_patch
    config = tenants.config_document(visit.platform, stored)
    columns = [
        column for column in INPUT_COLUMNS if column not in _NOT_IN_FILES
    ]
    columns += config.get("extra_columns") or []
    return frame.page(
        "settings_columns.html.jinja",
        visit,
        status=422 if repeated else 200,
        pages=PAGES.values(),
        file=file,
        vendor_path=vendor_path(visit.tenant_id, file.vendor_id),
        path=settings_path(visit, "vendors", file.vendor_id, "columns"),
        check=check,
        vendor_check=vendor_check,
        reading=reading,
        file_columns=_file_columns(vendor_check, parser),
        combined=_combined(parser),
        choices={column: words.named(column) for column in columns},
        parser=json.dumps(parser, ensure_ascii=False),
        repeated=repeated and words.named(repeated),
        version=stored.version,
    )


def _file_columns(
    check: VendorCheck | None, parser: Mapping[str, Any]
) -> list[FileColumn]:
    """Return the columns of a file, each with what a parser reads it as."""
    if check is None:
        return []
    columns = {
        source: column
        for column, source in (parser.get("column_map") or {}).items()
        if isinstance(source, str)
    }
    mapped = {*(parser.get("column_map") or {})}
    file_columns = []
    for header in check.headers[:_MAX_HEADERS]:
        column = columns.get(header, "")
        if not column and header in INPUT_COLUMNS and header not in mapped:
            column = header
        samples = [
            cell if len(cell) <= _MAX_CELL else f"{cell[:_MAX_CELL]}..."
            for cell in check.samples.get(header, ())
        ]
        file_columns.append(FileColumn(header, samples, column))
    return file_columns


def _combined(parser: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the columns that are made of several headers, with their JSON."""
    return [
        (words.named(column), json.dumps(source, ensure_ascii=False))
        for column, source in (parser.get("column_map") or {}).items()
        if not isinstance(source, str)
    ]

"""A config's dry run as people read it."""

import io

from rich.console import Console

from relay_dagster.client.commands.configs import show_check
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.config_checks import ConfigCheck

FOUND = {
    "tenant_id": "acme",
    "valid": True,
    "faults": [],
    "doubts": [{"path": "pricing.base_margin_pct", "message": "is over 500 %"}],
    "vendors": [
        {
            "vendor_id": "vendor_1",
            "status": "read",
            "message": "its latest upload does not fit the config",
            "s3_key": "tenants/acme/inbound/vendor_1/feed.csv",
            "size": 12345,
            "last_modified": "2026-03-01T12:00:00Z",
            "missing_headers": [
                {"column": "cost", "header": "Cost", "nearest": "cost net"}
            ],
            "unused_headers": ["EAN", "Weight"],
            "guesses": {
                "format": "csv",
                "compression": "auto",
                "sheet": None,
                "encoding": "cp1252",
                "delimiter": ";",
                "skip_lines": 0,
                "decimal_separator": ",",
                "thousands_separator": None,
                "currency_symbols": [],
            },
            "as_sent": {
                "usable": False,
                "rows": 0,
                "refused_rows": 0,
                "refusals": [],
                "error_code": "missing_required_columns",
                "error_message": "vendor_1 lacks Cost",
            },
            "with_patch": {
                "usable": True,
                "rows": 200,
                "refused_rows": 2,
                "refusals": [
                    {
                        "error_code": "invalid_decimal",
                        "column": "cost",
                        "count": 2,
                        "row_number": 7,
                        "line": 9,
                        "value": "n/a",
                    }
                ],
                "error_code": None,
                "error_message": None,
            },
        }
    ],
    "patch": [
        {"op": "add", "path": "/vendors/0/parser/delimiter", "value": ";"}
    ],
}
SHOWN = """\
valid, but with 1 doubt and unable to read the latest file of vendor_1

doubts
  pricing.base_margin_pct: is over 500 %

vendor vendor_1: missing_required_columns
  file: tenants/acme/inbound/vendor_1/feed.csv, 12,345 bytes, 2026-03-01 12:00:00Z
  missing column: cost, mapped to "Cost"; nearest header "cost net"
  unused headers: EAN, Weight
  probable format: format "csv", compression "auto", sheet null, encoding "cp1252", \
delimiter ";", skip_lines 0, decimal_separator ",", thousands_separator null, currency_symbols []
  with the changes below: 2 of 200 rows would be rejected
    2 x invalid_decimal in cost, first in row 7 (line 9), "n/a"

suggested changes that improve the reading of the files
  vendors.0.parser.delimiter: ";"
"""


def test_a_check_tells_doubts_files_and_changes_in_the_paths_of_the_config() -> (
    None
):
    out = io.StringIO()
    show_check(Screen(Console(file=out)), ConfigCheck.model_validate(FOUND))
    assert out.getvalue() == SHOWN


def test_a_config_with_faults_is_told_by_them_alone() -> None:
    check = {
        "tenant_id": "acme",
        "valid": False,
        "faults": [{"path": "timezone", "message": "is not an IANA time zone"}],
        "vendors": [
            {
                "vendor_id": "v1",
                "status": "not_looked_at",
                "message": "correct them",
            }
        ],
    }
    out = io.StringIO()
    show_check(Screen(Console(file=out)), ConfigCheck.model_validate(check))
    assert out.getvalue() == (
        "not valid: 1 error\n\nerrors\n  timezone: is not an IANA time zone\n"
    )

"""What goes in and out where a vendor's file is to be uploaded. Instants are UTC.

Only shapes, as in `runs_tenants`; which characters a name may have is one.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from relay_dagster.runs.identifiers import ID_PATTERN

# Control characters, lone surrogates, what is no character, the separators of lines.
_UNPRINTABLE = ("Cc", "Cs", "Cn", "Zl", "Zp")


def _name(text: str) -> str:
    """Return what is the name of a file, and nothing that a path or S3's forms read otherwise."""
    if not text.strip():
        raise ValueError("must name a file")
    if text in (".", ".."):
        raise ValueError("is a folder; name the file")
    if "/" in text or "\\" in text:
        raise ValueError("must be a name alone, without the folders that it lies in")
    if any(unicodedata.category(each) in _UNPRINTABLE for each in text):
        raise ValueError("has characters that cannot be printed; rename the file")
    if "${" in text:
        raise ValueError("must not hold ${, which S3 replaces; rename the file")
    return text


class UploadOrder(BaseModel):
    """What `POST /v1/tenants/{tenant_id}/uploads` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vendor_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    file_name: Annotated[
        str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_name)
    ] = Field(
        description="The name alone; a file that was uploaded under it before is replaced.",
        json_schema_extra={"pattern": r"^[^/\\\u0000-\u001f\u007f]+$"},
    )


class UploadLink(BaseModel):
    """A form that takes one file: POST it to `url` as multipart, `fields` first and `file` last."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://relay-inventory.s3.eu-central-1.amazonaws.com/",
                    "fields": {
                        "key": "tenants/acme_parts/inbound/granite_supply/stock.csv",
                        "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMDMtMDFUMTI6MTU6MDBaIiwgLi4ufQ==",
                        "x-amz-algorithm": "AWS4-HMAC-SHA256",
                        "x-amz-credential": "AKIA.../20260301/eu-central-1/s3/aws4_request",
                        "x-amz-date": "20260301T120000Z",
                        "x-amz-signature": "6e6f...",
                    },
                    "key": "tenants/acme_parts/inbound/granite_supply/stock.csv",
                    "max_bytes": 2147483648,
                    "expires_at": "2026-03-01T12:15:00Z",
                }
            ]
        }
    )

    url: str
    fields: dict[str, str] = Field(description="All of them must be sent, before the file.")
    key: str = Field(description="Where the file will lie.")
    max_bytes: int = Field(description="A larger file is refused.")
    expires_at: datetime

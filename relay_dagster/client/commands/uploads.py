"""Commands about vendors' files: upload one, pull one, and keep secrets for pulls.

A file is uploaded to S3 through a link of the API, without the API key.
"""

import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from relay_core.domain.input_names import ids_of
from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.errors import BadUsageError, ClientError
from relay_dagster.client.links import send_file
from relay_dagster.client.session import (
    Output,
    Session,
    Tenant,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, instant
from relay_dagster.wire.access import SecretList
from relay_dagster.wire.tenants import PullStanding, UploadLink

commands = typer.Typer()
secrets = typer.Typer(
    help="Store, list, and delete the secrets for servers of vendors and shops.",
    no_args_is_help=True,
)
_SECRETS = TableView(
    {
        "name": "name",
        "host": "host",
        "created": "created_at",
        "changed": "updated_at",
    },
    folded=("host",),
    empty="The tenant has no secrets.",
)
_Vendor = Annotated[
    str,
    argument("VENDOR", "Vendor ID, or VENDOR/PART for one of its parts."),
]
_SecretName = Annotated[str, argument("NAME", "Name of the secret.")]


@command(commands)
def upload(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Tenant ID.")],
    vendor: _Vendor,
    file: Annotated[
        Path,
        argument("FILE", "File to upload; it keeps its name."),
    ],
) -> None:
    """Upload a vendor's file and print its key.

    The upload needs no rights in the S3 bucket. The start of the next run goes to
    standard error.
    """
    # The name of "." or ".." is that of the folder it leads to.
    name = file.resolve().name if file.name in ("", "..") else file.name
    try:
        size = _size_of_readable(file)
        name.encode()
        link = session.api.request(
            UploadLink,
            "POST",
            tenant_path(tenant, "uploads"),
            json=_upload_request(vendor, name),
        )
        if size > link.max_bytes:
            raise BadUsageError(
                f"{file} has {size:,} bytes, but the maximum is {link.max_bytes:,}. "
                "Nothing was uploaded.",
            )
        send_file(link, file)
    except UnicodeEncodeError as error:
        raise BadUsageError(
            f"The name {name!r} is not valid UTF-8. Rename the file.",
        ) from error
    except OSError as error:
        raise BadUsageError(f"{file}: {error.strerror or error}") from error
    session.screen.say(link.key)
    session.screen.complain(next_run_sentence(session, tenant))


@command(commands)
def pull(
    session: Session,
    tenant: Tenant,
    vendor: _Vendor,
) -> Output:
    """Pull a vendor's file now.

    For the result, see `relay tenants status`.
    """
    vendor_id, part_id = ids_of(vendor)
    path = tenant_path(tenant, "vendors", vendor_id, "pull")
    query = {} if part_id is None else {"part_id": part_id}
    standing = session.api.request(PullStanding, "POST", path, params=query)
    line = f"The file of {vendor} is being pulled. For the result: relay tenants status {tenant}"
    return Output(standing, lambda: session.screen.say(line))


def _upload_request(vendor: str, file_name: str) -> dict[str, str]:
    """Return the body of the request for a link to upload a file."""
    vendor_id, part_id = ids_of(vendor)
    body = {"vendor_id": vendor_id, "file_name": file_name}
    if part_id is not None:
        body["part_id"] = part_id
    return body


def next_run_sentence(session: Session, tenant_id: str) -> str:
    """Return a sentence about the run that will read an upload, from the tenant's config."""
    try:
        stored = session.api.config(tenant_id, None)
    except ClientError:
        return (
            "The start of the next run is unknown, because the key may not read the tenant's "
            "config."
        )
    triggers = stored.tenant_config.get("triggers") or {}
    on_upload = triggers.get("on_upload")
    if on_upload is not None:
        quiet_seconds = on_upload["quiet_seconds"]
        if not quiet_seconds:
            return "A run starts immediately."
        return f"A run starts {quiet_seconds} s after the last upload."
    if stored.next_run_at is not None:
        return f"The schedule starts the next run at {instant(stored.next_run_at)}."
    return f"No run starts automatically. Start one with: relay run {tenant_id}"


def _size_of_readable(file: Path) -> int:
    """Return the size of a file, before a link is requested for it.

    Raises:
        BadUsageError: The path is not a regular file.
        OSError: The file cannot be read.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadUsageError(
            f"{file} is not a regular file. Only a file with a known size can be uploaded.",
        )
    file.open("rb").close()
    return status.st_size


# --- secrets for pulls ----------------------------------------------------------------


@command(secrets)
def put(
    session: Session,
    tenant: Tenant,
    name: _SecretName,
    host: Annotated[
        str,
        option(
            "Host that the secret may be sent to, as host or host:port.",
            show_default=False,
        ),
    ],
) -> None:
    """Store a secret that is read from standard input.

    One newline at its end is removed. The secret is sent to its host only.
    """
    if sys.stdin.isatty():
        session.screen.complain("Enter the secret, and end it with Ctrl-D.")
    value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    path = tenant_path(tenant, "secrets", name)
    session.api.send("PUT", path, json={"value": value, "host": host})
    session.screen.say(
        f"Secret {name} of {tenant} is stored. It is sent to {host} only.",
    )


@command(secrets, "list")
def list_secrets(session: Session, tenant: Tenant) -> Output:
    """List a tenant's secrets with their hosts and dates, without their values."""
    path = tenant_path(tenant, "secrets")
    tenant_secrets = session.api.request(SecretList, "GET", path)
    return Output(
        tenant_secrets,
        lambda: _SECRETS.show(session.screen, tenant_secrets.secrets),
    )


@command(secrets)
def delete(session: Session, tenant: Tenant, name: _SecretName) -> None:
    """Delete a secret permanently."""
    session.api.send("DELETE", tenant_path(tenant, "secrets", name))
    session.screen.say(f"Secret {name} of {tenant} is deleted.")

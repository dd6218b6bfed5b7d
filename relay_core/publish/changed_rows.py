"""The rows that changed between two published files of the feed, or of a channel.

A file of changes has the rows of the newer file that the older one lacks, and then the
SKUs that are gone, at a quantity of 0. It is a file like the newer one: the same
header, format, and compression.
"""

import gzip

from relay_core.config.models import FileConfig
from relay_core.publish.channels import gzip_chunks
from relay_core.publish.files.changes import ChangedRows, Content, Roles
from relay_core.publish.files.fields import headers_of
from relay_core.publish.files.writers import WRITERS


def changed_rows(
    older: Content,
    newer: Content,
    older_file: FileConfig,
    newer_file: FileConfig,
) -> ChangedRows | None:
    """Return the changes between two published files, or None where there are none.

    There are none if the files have no SKUs, or another header, format, or compression.

    Args:
        older: The bytes of the older file.
        newer: The bytes of the newer file.
        older_file: The format and the columns of the older file.
        newer_file: The format and the columns of the newer file.
    """
    headers = headers_of(newer_file)
    is_same_kind = older_file.suffix == newer_file.suffix
    if not is_same_kind or headers_of(older_file) != headers:
        return None
    roles = Roles.of(newer_file, headers)
    older_roles = Roles.of(older_file, headers)
    if roles.sku is None or roles.sku != older_roles.sku:
        return None
    is_packed = newer_file.suffix.endswith(".gz")
    if is_packed:
        older = gzip.decompress(older)
        newer = gzip.decompress(newer)
    changes = WRITERS[newer_file.format].changes(older, newer, roles)
    if changes is not None and is_packed:
        return ChangedRows(changes.count, gzip_chunks(changes.chunks))
    return changes

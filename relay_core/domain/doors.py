"""The doors: the ways by which files come from other servers and go to them.

Each door is described once, by the scheme of its URLs. To open one, bind its client to
the scheme in `relay_dagster/transfers/doors.py`. Everything else about a door is in its
row here, and other modules ask the row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Door:
    """A way to other servers."""

    scheme: str  # the scheme of its URLs, in small letters
    title: str  # the name of the protocol for people
    # The ports that may be called; the first is the default.
    ports: tuple[int, ...]
    # The forms of the URLs that the config takes; None where it takes none
    pull_url: str | None = None
    delivery_url: str | None = None
    # Whether the server has folders with lists of files. Then a URL names the user, and
    # its path is the whole rest of it. Otherwise a URL is that of one file.
    has_folders: bool = False
    # The options of a pull or a delivery that apply to this door and not to all doors
    options: tuple[str, ...] = ()
    # The scheme without encryption and its port, for servers of this machine alone
    loopback: tuple[str, int] | None = None

    @property
    def example(self) -> str:
        """An example of a URL of a file, for messages."""
        user = "user@" if self.has_folders else ""
        return f"{self.scheme}://{user}host/folder/name.csv"


_ROWS = (
    Door(
        scheme="https",
        title="HTTPS",
        ports=(443, 8443),
        pull_url="https://host/path",
        loopback=("http", 80),
    ),
    Door(
        scheme="sftp",
        title="SFTP",
        ports=(22, 2222),
        pull_url="sftp://user@host[:port]/folder/pattern",
        delivery_url="sftp://user@host[:port]/folder/",
        has_folders=True,
        options=("host_key", "settle_seconds"),
    ),
)

DOORS: Mapping[str, Door] = MappingProxyType(
    {door.scheme: door for door in _ROWS}
)
"""The row of each door, by its scheme."""
PULL_SCHEMES = tuple(door.scheme for door in _ROWS if door.pull_url)
"""The schemes of URLs from which vendors' files are pulled."""
DELIVERY_SCHEMES = tuple(door.scheme for door in _ROWS if door.delivery_url)
"""The schemes of URLs to which files are delivered."""
FOLDER_SCHEMES = tuple(door.scheme for door in _ROWS if door.has_folders)
"""The schemes of servers with folders."""
REQUEST_SCHEME = "https"
"""The scheme of URLs that get requests of Relay's own, such as webhooks."""


def door_of(scheme: str) -> Door | None:
    """Return the door of a scheme, also of one for this machine alone."""
    for door in _ROWS:
        loopback_scheme = door.loopback[0] if door.loopback else None
        if scheme in (door.scheme, loopback_scheme):
            return door
    return None


def default_port(scheme: str) -> int:
    """Return the port of a URL of a known scheme that names none."""
    door = door_of(scheme)
    if door is None:
        raise KeyError(scheme)
    if door.loopback is not None and scheme == door.loopback[0]:
        return door.loopback[1]
    return door.ports[0]


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in small letters; empty for an empty text."""
    return url.partition(":")[0].lower()


def schemes_with(option: str) -> tuple[str, ...]:
    """Return the schemes that an option of a pull or a delivery applies to."""
    return tuple(door.scheme for door in _ROWS if option in door.options)


def url_forms(forms: Iterable[str | None]) -> str:
    """Return the description of an option that takes URLs of these forms."""
    return f"{', or '.join(f'`{form}`' for form in forms if form)}."

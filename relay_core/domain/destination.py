"""The hosts that may be called: the rules for a URL's text and for a host's addresses.

These rules apply to webhooks and to pulls of vendors' files. Nothing here resolves a
name. Code that stores a URL judges its text; code that calls it also judges every
address that the name has at that moment, and then connects to one of these addresses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from urllib.parse import SplitResult, unquote, urlsplit

from relay_core.domain.doors import (
    DOORS,
    REQUEST_SCHEME,
    Door,
    default_port,
    door_of,
)

Address = IPv4Address | IPv6Address

MAX_URL = 2048

# Some version of Python calls these networks global, but nobody can reach them.
_NOT_PUBLIC_V4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# An address of these networks ends in an IPv4 address.
_ENDS_IN_V4 = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("::/96"),
)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME_LENGTH = 253
# A resolver reads a name with this ending as an address: 127.1, 0x7f.1, 2130706433.
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")


class UnfitUrlError(ValueError):
    """A URL may not be called; the message gives the reason without quoting the URL."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that may be called."""

    scheme: str  # that of a door, or ``http`` to loopback
    host: str  # a name in small letters, or an address without brackets
    port: int  # the port, also if the URL leaves it out
    # The path and the query of a request; for a server with folders the whole path
    target: str
    # Whether this machine's addresses are accepted, which an operator decides
    allow_loopback: bool = False
    user: str = ""  # the user that logs in to a server with folders

    @property
    def receiver(self) -> str:
        """The server that answers: scheme, host and port."""
        return f"{self.scheme}://{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The host as the ``Host`` header of a request names it."""
        is_default = self.port == default_port(self.scheme)
        return (
            self._bracketed if is_default else f"{self._bracketed}:{self.port}"
        )

    @property
    def host_names(self) -> frozenset[str]:
        """The spellings of host and port, with and without the default port."""
        with_port = f"{self._bracketed}:{self.port}"
        return frozenset((self.host_header, with_port))

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def accepts(self, address: Address) -> bool:
        """Return whether a connection to an address of the host is allowed."""
        if self.allow_loopback and address.is_loopback:
            return True
        door = DOORS.get(self.scheme)
        is_usual = door is not None and self.port in door.ports
        return is_usual and is_public(address)


def is_loopback(host: str) -> bool:
    """Return whether a host, without port or brackets, is this machine; without DNS."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(address: Address) -> bool:
    """Return whether everybody reaches the same host at an address.

    An IPv4 address inside an IPv6 address is judged by itself.
    """
    if isinstance(address, IPv4Address):
        is_reserved = any(address in network for network in _NOT_PUBLIC_V4)
        return (
            address.is_global and not address.is_multicast and not is_reserved
        )
    inner_address = _inner_address(address)
    if inner_address is not None:
        return is_public(inner_address)
    is_reserved = any(address in network for network in _NOT_PUBLIC_V6)
    return address in _GLOBAL_UNICAST and address.is_global and not is_reserved


def _inner_address(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address inside an IPv6 address, or None.

    Mapped, translated and compatible addresses end in one; 6to4 begins with one.
    """
    if any(address in network for network in _ENDS_IN_V4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def judge_url(
    text: str,
    *,
    allow_loopback: bool = False,
    schemes: Sequence[str] = (REQUEST_SCHEME,),
) -> Destination:
    """Return the destination of a URL of one of the schemes, if its text is allowed.

    With ``allow_loopback``, any port is allowed if the host is this machine, and so is
    ``http`` in place of ``https``.

    Raises:
        UnfitUrlError: The URL may not be called.
    """
    parts, port = _split(text)
    host = (parts.hostname or "").lower()
    address = _address_in(host, is_bracketed="[" in parts.netloc)
    is_allowed_loopback = allow_loopback and is_loopback(host)
    door = door_of(parts.scheme)
    is_plain = parts.scheme not in DOORS
    if (
        door is None
        or door.scheme not in schemes
        or (is_plain and not is_allowed_loopback)
    ):
        prefixes = " or ".join(f"{scheme}://" for scheme in schemes)
        raise UnfitUrlError(f"must begin with {prefixes}")
    if port is None:
        port = default_port(parts.scheme)
    if not is_allowed_loopback:
        _check_public(door, host, port, address)
    if door.has_folders:
        # A question mark is a wildcard in the path of a file, and begins no query.
        path = text.partition(parts.netloc)[2]
        target = "/" + path.lstrip("/")
        user = _user_in(parts, door)
        return Destination(
            parts.scheme, host, port, target, allow_loopback, user
        )
    if "@" in parts.netloc:
        raise UnfitUrlError(
            "must have no user name and no password; remove the part before @"
        )
    query = f"?{parts.query}" if parts.query else ""
    target = (parts.path or "/") + query
    return Destination(parts.scheme, host, port, target, allow_loopback)


def _check_public(
    door: Door,
    host: str,
    port: int,
    address: Address | None,
) -> None:
    """Refuse a port that is not usual, and a host that not everybody reaches."""
    if port not in door.ports:
        ports = " or ".join(map(str, door.ports))
        raise UnfitUrlError(f"must have port {ports}")
    is_private_address = address is not None and not is_public(address)
    if is_loopback(host) or is_private_address:
        raise UnfitUrlError(
            "must lead to a public address, not to a private network"
        )


def _user_in(parts: SplitResult, door: Door) -> str:
    if parts.password is not None:
        raise UnfitUrlError(
            "must have no password; store the password as a secret"
        )
    if not parts.username:
        raise UnfitUrlError(f"must name the user, for example {door.example}")
    return unquote(parts.username)


def _split(text: str) -> tuple[SplitResult, int | None]:
    if len(text) > MAX_URL:
        raise UnfitUrlError(f"must have at most {MAX_URL} characters")
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise UnfitUrlError(
            "must be a URL of visible ASCII characters without a backslash; "
            "percent-encode other characters, and write host names in the xn-- form"
        )
    if "#" in text:
        raise UnfitUrlError("must have no fragment; remove the part from # on")
    try:
        parts = urlsplit(text)
        if parts.port == 0:
            raise ValueError(text)
    except ValueError:
        raise UnfitUrlError(
            "must be a URL with a host, and a port from 1 to 65535"
        ) from None
    return parts, parts.port


def _address_in(host: str, *, is_bracketed: bool) -> Address | None:
    """Return a host as an address, or None if it is a name."""
    if "%" not in host:
        try:
            return ip_address(host)
        except ValueError:
            pass
    if (
        is_bracketed
        or not _NAME.fullmatch(host)
        or len(host) > _MAX_NAME_LENGTH
    ):
        raise UnfitUrlError("must name a host")
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        raise UnfitUrlError(
            "must name a host, or a full address of four numbers up to 255"
        )
    return None

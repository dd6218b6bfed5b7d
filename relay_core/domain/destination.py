"""Which hosts may be called: the rule of a URL's text, and of the addresses behind its name.

Webhooks are sent, and vendors' files pulled, by this one rule. Nothing here resolves a name: who
stores a URL judges its text, and who calls judges every address that the name has at that moment as
well, then connects to one of those.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, unquote, urlsplit

Address = IPv4Address | IPv6Address

MAX_URL = 2048
PORTS = {"https": (443, 8443), "sftp": (22, 2222)}
_DEFAULT_PORTS = {"http": 80, "https": 443, "sftp": 22}

# What `is_global` calls global in some version of Python and nobody can reach as such.
_NOT_PUBLIC_V4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# The last four bytes of these are an IPv4 address.
_ENDS_IN_V4 = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("::/96"),
)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME = 253
# A resolver reads a name that ends so as an address: 127.1, 0x7f.1, 2130706433.
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")


class UnfitUrlError(ValueError):
    """A URL may not be called; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that may be called."""

    scheme: str  # ``https``, ``sftp``, or ``http`` to loopback
    host: str  # a name in small letters, or an address without brackets
    port: int  # also where the URL leaves it out
    target: str  # path and query, as they stand in a request; of ``sftp`` all behind the host
    # Whether this machine's addresses are good, as an operator has said
    allow_loopback: bool = False
    user: str = ""  # who logs in, of ``sftp``

    @property
    def receiver(self) -> str:
        """Who answers there: scheme, host and port."""
        return f"{self.scheme}://{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The host as a request names it."""
        is_default = self.port == _DEFAULT_PORTS[self.scheme]
        return self._bracketed if is_default else f"{self._bracketed}:{self.port}"

    @property
    def host_names(self) -> frozenset[str]:
        """Host and port as they are written: with the port, and without the usual one."""
        return frozenset((self.host_header, f"{self._bracketed}:{self.port}"))

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def accepts(self, address: Address) -> bool:
        """Return whether an address that the host has may be connected to."""
        if self.allow_loopback and address.is_loopback:
            return True
        return self.port in PORTS.get(self.scheme, ()) and is_public(address)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address, without port or brackets, is loopback; no DNS query."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(address: Address) -> bool:
    """Return whether everybody reaches the same host there; wrapped IPv4 is judged by itself."""
    if isinstance(address, IPv6Address):
        # Mapped, translated and compatible addresses end in one of IPv4, 6to4 begins with one.
        is_wrapped = any(address in network for network in _ENDS_IN_V4)
        inner = (
            IPv4Address(int(address) & 0xFFFFFFFF) if is_wrapped else address.sixtofour
        )
        if inner is not None:
            return is_public(inner)
        refused = any(address in network for network in _NOT_PUBLIC_V6)
        return address in _GLOBAL_UNICAST and address.is_global and not refused
    refused = any(address in network for network in _NOT_PUBLIC_V4)
    return address.is_global and not address.is_multicast and not refused


def judge_url(
    text: str, *, allow_loopback: bool = False, schemes: Sequence[str] = ("https",)
) -> Destination:
    """Return where a URL leads, where its text may be one, by one of the schemes.

    With ``allow_loopback`` ``http`` and any port are taken where the host is this machine.
    `UnfitUrlError`: it may not be called.
    """
    parts, port = _split(text)
    host = (parts.hostname or "").lower()
    address = _address_in(host, is_bracketed="[" in parts.netloc)
    here = allow_loopback and is_loopback(host)
    if parts.scheme not in schemes and not (here and parts.scheme == "http"):
        raise UnfitUrlError(
            f"must begin with {' or '.join(f'{each}://' for each in schemes)}"
        )
    if port is None:
        port = _DEFAULT_PORTS[parts.scheme]
    if not here and port not in PORTS[parts.scheme]:
        raise UnfitUrlError(
            f"must have port {' or '.join(map(str, PORTS[parts.scheme]))}"
        )
    if not here and (
        is_loopback(host) or (address is not None and not is_public(address))
    ):
        raise UnfitUrlError("must lead to a public address")
    if parts.scheme == "sftp":
        # A question mark is a wildcard there, and begins no query.
        target, user = (
            "/" + text.partition(parts.netloc)[2].lstrip("/"),
            _user_in(parts),
        )
    else:
        if "@" in parts.netloc:
            raise UnfitUrlError("must have no user name and no password")
        target, user = (
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            "",
        )
    return Destination(parts.scheme, host, port, target, allow_loopback, user)


def _user_in(parts: SplitResult) -> str:
    if parts.password is not None:
        raise UnfitUrlError("must have no password: a secret has it")
    if not parts.username:
        raise UnfitUrlError(
            "must name the user, as in sftp://user@host/folder/name.csv"
        )
    return unquote(parts.username)


def _split(text: str) -> tuple[SplitResult, int | None]:
    if len(text) > MAX_URL:
        raise UnfitUrlError(f"must have at most {MAX_URL} characters")
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise UnfitUrlError(
            "must be a URL of visible ASCII characters without a backslash; "
            "others are percent-encoded, and in a host's name written as xn--"
        )
    if "#" in text:
        raise UnfitUrlError("must have no fragment")
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
    """Return a host that is an address, None for a name."""
    if "%" not in host:
        try:
            return ip_address(host)
        except ValueError:
            pass
    if is_bracketed or not _NAME.fullmatch(host) or len(host) > _MAX_NAME:
        raise UnfitUrlError("must name a host")
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        raise UnfitUrlError(
            "must name a host, or an address in full: four numbers up to 255"
        )
    return None

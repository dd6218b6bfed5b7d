"""Which hosts are this machine and nobody else's."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address, without a port or brackets, is loopback's; asks no DNS."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

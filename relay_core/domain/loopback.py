"""Hosts that are this machine."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether a name or an address, without port or brackets, is loopback; no DNS query."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

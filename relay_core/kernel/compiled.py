"""Whether this installation has the compiled kernel, and whether it is used.

Other modules reach the kernel as ``compiled.scan``, and only if `is_used`.
"""

_VERSION = 10
"""The version of the kernel that this code needs: ``VERSION`` in its source."""

is_installed = True
"""Whether the kernel was compiled when this project was installed."""
try:
    from relay_core.kernel import scan as scan

    # A kernel that was compiled from older source is as good as none.
    is_installed = getattr(scan, "VERSION", None) == _VERSION
except ImportError:  # there was no compiler
    is_installed = False

is_enabled = True
"""Whether the kernel is used if there is one; tests turn it off."""


def is_used() -> bool:
    """Return whether the kernel is used."""
    return is_installed and is_enabled

"""The kernel in tests: an installation without a compiler lacks it."""

from __future__ import annotations

import pytest

from relay_core.kernel import compiled

# Such an installation is supported. It reads every feed without the kernel, so that these
# tests have nothing to compare there; all others run.
needs_kernel = pytest.mark.skipif(
    not compiled.is_installed, reason="the kernel was not compiled"
)

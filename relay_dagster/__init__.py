"""Everything that knows Dagster, AWS or HTTP; importing this package wires nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay_dagster.component.merchant_feed import (
        MerchantFeedComponent as MerchantFeedComponent,
    )

__all__ = ("MerchantFeedComponent",)


def __getattr__(name: str) -> Any:
    """Load the component when it is first asked for, as most processes never do."""
    if name in __all__:
        from relay_dagster.component import merchant_feed

        return getattr(merchant_feed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the package, with the component, which ``dg`` looks for."""
    return sorted({*globals(), *__all__})

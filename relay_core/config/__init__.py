"""A tenant's config: text in, frozen models out, every fault with its path."""

from relay_core.config.cross_checks import LoadContext
from relay_core.config.documents import parse_document
from relay_core.config.loading import TenantConfig, load_config, load_stored_config
from relay_core.config.models import (
    ErrorPolicy,
    PriceRule,
    PricingConfig,
    RuleConditions,
    StockConfig,
    VendorConfig,
)
from relay_core.config.overrides import Override, load_overrides, parse_overrides, used_overrides
from relay_core.config.parser import ParserConfig

__all__ = [
    "ErrorPolicy",
    "LoadContext",
    "Override",
    "ParserConfig",
    "PriceRule",
    "PricingConfig",
    "RuleConditions",
    "StockConfig",
    "TenantConfig",
    "VendorConfig",
    "load_config",
    "load_overrides",
    "load_stored_config",
    "parse_document",
    "parse_overrides",
    "used_overrides",
]

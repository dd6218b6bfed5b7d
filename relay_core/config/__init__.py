"""A tenant's config: text in, frozen models out, every fault with its path."""

from relay_core.config.documents import parse_document
from relay_core.config.loading import TenantConfig, load_config, load_stored_config
from relay_core.config.models import (
    BestOfferConfig,
    ErrorPolicy,
    InboundConfig,
    LandedCostConfig,
    MapPolicyConfig,
    MergeConfig,
    ParserConfig,
    PricingConfig,
    RoundingConfig,
    SkuMapConfig,
    VendorConfig,
)
from relay_core.config.sections.output import OutputConfig

__all__ = [
    "BestOfferConfig",
    "ErrorPolicy",
    "InboundConfig",
    "LandedCostConfig",
    "MapPolicyConfig",
    "MergeConfig",
    "OutputConfig",
    "ParserConfig",
    "PricingConfig",
    "RoundingConfig",
    "SkuMapConfig",
    "TenantConfig",
    "VendorConfig",
    "load_config",
    "load_stored_config",
    "parse_document",
]

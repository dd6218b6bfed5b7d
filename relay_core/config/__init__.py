"""A tenant's config: from text to frozen models, with a path for every fault."""

from relay_core.config.cross_checks import LoadContext as LoadContext
from relay_core.config.loading import TenantConfig as TenantConfig
from relay_core.config.loading import load_config as load_config
from relay_core.config.loading import load_stored_config as load_stored_config
from relay_core.config.models import ErrorPolicy as ErrorPolicy
from relay_core.config.models import PriceRule as PriceRule
from relay_core.config.models import PricingConfig as PricingConfig
from relay_core.config.models import RuleConditions as RuleConditions
from relay_core.config.models import StockConfig as StockConfig
from relay_core.config.models import VendorConfig as VendorConfig
from relay_core.config.overrides import Override as Override
from relay_core.config.overrides import load_overrides as load_overrides
from relay_core.config.overrides import (
    overrides_in_effect as overrides_in_effect,
)
from relay_core.config.overrides import parse_overrides as parse_overrides
from relay_core.config.parser import ParserConfig as ParserConfig
from relay_core.config.reading.documents import parse_document as parse_document

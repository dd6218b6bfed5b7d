"""The tenant's own products: the catalog, and which of them a vendor's row is."""

from relay_core.products.catalog import Catalog as Catalog
from relay_core.products.matcher import MatchedBy as MatchedBy
from relay_core.products.matcher import ProductMatcher as ProductMatcher

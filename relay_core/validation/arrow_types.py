"""A type that Pandera does not know by itself: Arrow's decimal of 64 bits."""

# No postponed annotations: Pandera reads those of `from_parametrized_dtype` as it registers it.
import dataclasses
from typing import Any

import pandas as pd
import pyarrow as pa

from relay_core.validation.pandera_parts import immutable, pandas_engine


@pandas_engine.Engine.register_dtype(equivalents=[pa.Decimal64Type])
@immutable(init=True)
class ArrowDecimal64(pandas_engine.DataType):
    """A column of exact amounts whose bytes are whole numbers."""

    type: pd.ArrowDtype | None = dataclasses.field(default=None, init=False)
    precision: int = 18  # how many digits an amount has at the most
    scale: int = 0  # how many of them are decimal places

    def __post_init__(self) -> None:
        kind = pd.ArrowDtype(pa.decimal64(self.precision, self.scale))
        object.__setattr__(self, "type", kind)

    @classmethod
    def from_parametrized_dtype(cls, pyarrow_dtype: pa.Decimal64Type) -> Any:
        """Return the type of an Arrow type."""
        make: Any = cls  # whose arguments the decorator makes
        return make(precision=pyarrow_dtype.precision, scale=pyarrow_dtype.scale)

"""Pandera, without what it loads for uses that are not ours: a tenth of a second of a start.

hypothesis makes up data, and it does without; typeguard judges lists in cells, and two of its names
are read for later. Arrow's decimal of 64 bits, which Pandera does not know by itself, is added.
"""

# No postponed annotations: Pandera reads those of `from_parametrized_dtype` as it registers it.
import dataclasses
import sys
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa

__all__ = ["SchemaErrors", "pandera"]
_typeguard = SimpleNamespace(CollectionCheckStrategy=SimpleNamespace(ALL_ITEMS=None))
_typeguard.TypeCheckError = TypeError
_given: dict[str, Any] = {"hypothesis": None, "typeguard": _typeguard}
_given = {name: module for name, module in _given.items() if name not in sys.modules}
sys.modules.update(_given)
try:
    import pandera.pandas as pandera
    from pandera.dtypes import immutable
    from pandera.engines import pandas_engine
    from pandera.errors import SchemaErrors
    from pandera.strategies import pandas_strategies  # noqa: F401  # else with the first check
finally:
    for _name in _given:
        del sys.modules[_name]


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

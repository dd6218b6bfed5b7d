"""Pandera, without what it loads for uses that are not ours: a tenth of a second of a start.

hypothesis makes up data, and it does without; typeguard judges lists in cells, and two of its names
are read for later.
"""

import sys
from types import SimpleNamespace
from typing import Any

__all__ = ["SchemaErrors", "immutable", "pandas_engine", "pandera"]
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

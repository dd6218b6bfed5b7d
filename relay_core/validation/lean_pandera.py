"""Pandera, loaded without three things that it loads for uses that are not ours.

Hypothesis makes up data, and typeguard judges lists in cells. Loading them takes 0.16 s
of processor time and 11 MiB of each process that needs a verdict (measured in December
2026 on a machine where the whole import takes 0.34 s). Pandera works without
Hypothesis, and reads two names of typeguard that it uses only for such lists.

The third is a patch of numpy for old releases of pyspark. Its module loads
`importlib.metadata`, and with that email and sockets, which a local run does not need.
"""

import sys
from types import SimpleNamespace
from typing import Any

_typeguard = SimpleNamespace(
    CollectionCheckStrategy=SimpleNamespace(ALL_ITEMS=None),
    TypeCheckError=TypeError,
)
_no_patch = SimpleNamespace(_patch_numpy2=lambda: None)
_stand_ins: dict[str, Any] = {"pandera._patch_numpy2": _no_patch}
if "hypothesis" not in sys.modules:
    _stand_ins["hypothesis"] = None
if "typeguard" not in sys.modules:
    _stand_ins["typeguard"] = _typeguard
sys.modules.update(_stand_ins)
try:
    import pandera.pandas as pandera
    from pandera.dtypes import immutable
    from pandera.engines import pandas_engine
    from pandera.errors import SchemaErrors

    # The first check would load this module, when the packages are no longer hidden.
    from pandera.strategies import pandas_strategies  # noqa: F401
finally:
    for _name in _stand_ins:
        del sys.modules[_name]

__all__ = ["SchemaErrors", "immutable", "pandas_engine", "pandera"]

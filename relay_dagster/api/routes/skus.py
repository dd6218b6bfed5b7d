"""Explanations of single SKUs, which the engine makes from the files of a run."""

from typing import Annotated

from fastapi import Query

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import RunId
from relay_dagster.http.security.auth import MayRead
from relay_dagster.services import explanations
from relay_dagster.wire import skus as wire

routes = request_parsing.router("skus")


# A field of an option that the config does not use is not sent.
@routes.get("/v1/runs/{run_id}/explain", response_model_exclude_unset=True)
@responds_with(
    "SKU_NOT_FOUND",
    "RUN_NOT_MERGED",
    "ARTIFACTS_EXPIRED",
    "EXPLAIN_TOO_SLOW",
    "EXPLANATIONS_BUSY",
)
def explain_sku(
    run_id: RunId,
    call: MayRead,
    sku: Annotated[
        str,
        Query(
            description="The SKU as in the feed, after the SKU map is applied."
        ),
    ],
) -> wire.Explanation:
    """Explain a SKU's row of a run's feed: every offer, and each step of the price.

    The run must have published its feed, or put it on hold.
    """
    return explanations.explain_sku(run_id, call, sku)

"""Why a SKU's row of a run's feed is what it is.

HTTP alone: the engine tells it, through `explainer`, from the run's files.
"""

from typing import Annotated

from fastapi import Query

from relay_core.domain.errors import ConfigFault, RunNotMergedError
from relay_core.sandbox import BusyError, TaskOutOfMemoryError, TaskTooSlowError
from relay_dagster.api.http.dependencies import ExplainerDep, PlatformDep
from relay_dagster.api.http.error_codes import INVALID_REQUEST, answers
from relay_dagster.api.http.problems import ProblemError, unavailable
from relay_dagster.api.http.request_parsing import RunId, router
from relay_dagster.api.routes.runs import find_run
from relay_dagster.api.security.auth import MayRead
from relay_dagster.wire.explanations import Explanation

routes = router("runs")


@routes.get(
    "/v1/runs/{run_id}/explain",
    responses=answers(
        "RUN_NOT_FOUND",
        "SKU_NOT_FOUND",
        "RUN_NOT_MERGED",
        "ARTIFACTS_EXPIRED",
        INVALID_REQUEST,
        "EXPLAIN_TOO_SLOW",
        "EXPLANATIONS_BUSY",
    ),
)
def explain_sku(
    run_id: RunId,
    caller: MayRead,
    platform: PlatformDep,
    explainer: ExplainerDep,
    sku: Annotated[str, Query(description="As in the feed, after the SKU map.")],
) -> Explanation:
    """Tell why a SKU's row of a run's feed is what it is: every offer, and each step of the price.

    Of a run that has published its feed, or has held it back.
    """
    record = find_run(run_id, caller, platform)
    if record.published_at is None and record.hold is None:  # nor has it ever been
        raise RunNotMergedError(
            f"run {run_id} is {record.status}: it has neither published its feed nor held it back; "
            "ask for a run of all vendors that has"
        )
    try:
        return Explanation(**explainer.explain(platform.objects, record.keys, sku))
    except BusyError as error:
        raise unavailable("EXPLANATIONS_BUSY", "others are being explained") from error
    except (TaskTooSlowError, TaskOutOfMemoryError) as error:
        message = "has too many rows to be explained; errors.json and normalized.csv have them"
        fault = ConfigFault("sku", message)
        raise ProblemError("EXPLAIN_TOO_SLOW", str(fault), errors=[fault]) from error

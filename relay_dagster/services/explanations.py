"""Explanations of single SKUs, which the engine makes from the files of a run."""

from relay_core import sandbox
from relay_core.config import PricingConfig
from relay_core.domain import errors
from relay_dagster.http import problems
from relay_dagster.http.security.auth import Call
from relay_dagster.services.runs import find_run
from relay_dagster.wire import skus as wire


def explain_sku(
    run_id: str, call: Call, sku: str, pricing: PricingConfig | None = None
) -> wire.Explanation:
    """Return the explanation of a SKU of a run.

    With ``pricing``, the offers are priced by it and not by the run's config.

    Raises:
        RelayError: The run has no feed, or no such SKU.
        ProblemError: Other SKUs are being explained (503), or the SKU has too many rows
            (422).
    """
    record = find_run(run_id, call)
    # A run that was held and then discarded still has its hold.
    if record.published_at is None and record.hold is None:
        raise errors.RunNotMergedError(
            f"run {run_id} is {record.status}, and its feed is neither published nor on "
            "hold; choose a run of all vendors with a feed"
        )
    try:
        document = call.parts.tasks.explain(
            call.platform.objects, record.keys, sku, pricing
        )
        return wire.Explanation(**document)
    except sandbox.BusyError as error:
        reason = "other SKUs are being explained"
        raise problems.unavailable("EXPLANATIONS_BUSY", reason) from error
    except (sandbox.TaskTooSlowError, sandbox.TaskOutOfMemoryError) as error:
        message = "has too many rows to explain; read them in normalized.csv and errors.json"
        fault = errors.ConfigFault("sku", message)
        raise problems.ProblemError(
            "EXPLAIN_TOO_SLOW", str(fault), errors=[fault]
        ) from error

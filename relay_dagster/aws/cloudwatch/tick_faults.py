"""What is told of an exception that a sensor's tick meets: a line in the log, a count for an alarm.

Where the tick goes on after it, and where not, is its own business.
"""

from relay_dagster.aws.cloudwatch.metrics import Metrics
from relay_dagster.logs import event_log

INTERNAL_ERROR = "internal_error"

log = event_log()


def report_fault(metrics: Metrics, event: str, error: Exception, **facts: object) -> None:
    """Log an exception and count it as ``WorkerError``.

    One that has a code of its own is a fault that is known; any other is a defect, of which the
    log has the stack of calls.
    """
    code = str(getattr(error, "error_code", INTERNAL_ERROR))
    trace = error if code == INTERNAL_ERROR else False
    log.error(event, error_code=code, error=str(error), exc_info=trace, **facts)
    metrics.worker_error(code)

"""The forms on a run's page, one for an action of the run's report."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from relay_core.report.blocks import Action, Table
from relay_core.report.report import Report
from relay_dagster.runs.model import RunRecord
from relay_dagster.web import visits
from relay_dagster.web.shop import Shop
from relay_dagster.wire.runs import Run


class ShownRun(NamedTuple):
    """A run and its report, and the visit that they are shown to."""

    run: Run
    record: RunRecord
    report: Report
    visit: visits.Visit
    shop: Shop
    changed: int | None = None  # the number of rows that the last form changed

    def path(self, form: str) -> str:
        """Return the address of a form of the run."""
        return f"/app/runs/{self.run.run_id}/{form}"

    def table(self, name: str) -> Table | None:
        """Return a table of the report, or None if the report does not have it."""
        for block in self.report.blocks():
            if isinstance(block, Table) and block.name == name:
                return block
        return None


class Selection(NamedTuple):
    """The rows that a form selects from, each by the value of its first cell."""

    table: Table
    field: str
    values: frozenset[str] = frozenset()  # the values that can be selected
    # The label of the box that selects every row of the whole list.
    all_label: str = ""


class ActionForm(NamedTuple):
    """A form for an action.

    Without a path there is nothing to send, and only the selection's rows are shown.
    """

    action: Action
    path: str = ""
    hidden: tuple[
        tuple[str, str], ...
    ] = ()  # the names and values of hidden fields
    help: str = ""
    notice: str = ""  # the result of the form that was just sent
    selection: Selection | None = None

    @property
    def name(self) -> str:
        """The last part of the form's address, by which a rejected form is known."""
        return self.path.rpartition("/")[2]


FormOf = Callable[[Action, ShownRun], ActionForm | None]
"""Returns the form of an action, or None if this visitor cannot take the action now."""


def forms_of(
    shown: ShownRun, makers: Mapping[str, FormOf]
) -> Iterator[ActionForm]:
    """Yield the forms of a run's actions.

    ``makers`` make the forms by the names of the actions. An action of a newer release
    has no form.
    """
    for action in shown.report.actions:
        make = makers.get(action.name)
        form = None if make is None else make(action, shown)
        if form is not None:
            yield form

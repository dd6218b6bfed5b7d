"""The scaffolder."""

import dagster as dg


class MerchantFeedScaffolder(dg.Scaffolder):
    """Writes defs."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write."""

"""A minute's part of ``make fuzz-documents``: damaged documents are judged as `json` does."""

from __future__ import annotations

import math

from fuzzing.documents import attack


def test_damaged_documents_are_read_or_refused_rightly() -> None:
    tried, wrong = attack(math.inf, count=1_500, seed=1)
    assert tried == 1_500
    assert wrong == []

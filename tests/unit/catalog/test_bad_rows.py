"""Bad rows are counted by kind, and refused with the first of each and what can be done about it."""

import pytest

from pepperstone_adapter.catalog.bad_rows import BadRows, rows_text
from pepperstone_adapter.common.errors import DataError


def refused(bad: BadRows, *tolerated: str) -> list[str]:
    error = bad.refusal("x.csv", frozenset(tolerated))
    assert isinstance(error, DataError)
    return str(error).splitlines()


def test_one_kind_is_one_line() -> None:
    bad = BadRows()
    bad.add("zero", 2, 7, "2024.01.02\t0.0")
    assert refused(bad) == [
        "x.csv: 2 rows with a price of zero (first at x.csv:7: '2024.01.02\\t0.0'); nothing was imported: correct the "
        "file, or use --allow zero, --skip-bad to leave them out"
    ]


def test_several_kinds_are_a_line_each() -> None:
    bad = BadRows()
    bad.add("zero", 1, 6, "0")
    bad.add("volume", 1_200, 7, "-1")
    bad.add("crossed", 3)
    assert refused(bad, "crossed") == [
        "x.csv has rows that cannot be trusted:",
        "1 row with a price of zero (first at x.csv:6: '0')",
        "1,200 rows with a negative volume (first at x.csv:7: '-1')",
        "nothing was imported: correct the file, or use --allow zero, --skip-bad to leave them out",
    ]


def test_what_is_tolerated_refuses_nothing() -> None:
    bad = BadRows()
    bad.add("disorder", 1)
    assert bad.refusal("x.csv", frozenset({"disorder"})) is None
    assert bad.total == 1


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows"), (1, "1 row"), (1_234, "1,234 rows")])
def test_a_count_of_rows_in_words(count: int, text: str) -> None:
    assert rows_text(count) == text

import numpy as np

from pepperstone_adapter.simulation.plan import SpreadTable
from pepperstone_adapter.simulation.spread import hours_of_week, spread_points
from tests.kit.runs import utc


def test_the_hour_of_the_week_is_new_yorks_in_winter_and_summer() -> None:
    # Sunday 17:00 New York is 22:00 UTC in winter and 21:00 UTC in summer; hour 0 is Sunday 00:00.
    stamps = np.array([utc(2024, 1, 7, 22, 0), utc(2024, 7, 7, 21, 0), utc(2024, 7, 7, 22, 0)], np.int64)
    assert hours_of_week(stamps).tolist() == [17, 17, 18]


def test_hours_on_both_sides_of_both_clock_changes() -> None:
    # 2024-03-10 02:00 and 2024-11-03 02:00 local: the hours around them, Sunday night.
    stamps = [utc(2024, 3, 10, 6, 59), utc(2024, 3, 10, 7, 0), utc(2024, 11, 3, 5, 59), utc(2024, 11, 3, 6, 0)]
    assert hours_of_week(np.array(stamps, np.int64)).tolist() == [1, 3, 1, 1]


def test_the_spread_follows_the_table() -> None:
    table = SpreadTable(points=(*range(168),))
    saturday = utc(2024, 1, 6, 4, 30)  # Friday 23:30 New York: 5 × 24 + 23
    assert spread_points(table, np.array([saturday], np.int64)).tolist() == [143]
    assert spread_points(table, np.array([], np.int64)).tolist() == []

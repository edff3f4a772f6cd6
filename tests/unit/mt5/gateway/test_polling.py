"""The poller on a terminal that only has ticks: how a long stop is caught up with."""

from collections import namedtuple
from typing import Any

import numpy as np

from pepperstone_adapter.mt5.gateway.polling import POLL_TICK_ROWS, Poller
from pepperstone_adapter.mt5.gateway.ticks import PAGE, TickCursor
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE, unpack_array

Tick = namedtuple("Tick", "time_msc bid ask")
Row = namedtuple("Row", "login connected trade_allowed tradeapi_disabled build path")
BEGAN_MS = 1_600_000_000_000


class Terminal:
    """Symbols with ticks a millisecond apart, no trades; `volume` numbers them."""

    def __init__(self, **counts: int) -> None:
        self.ticks: dict[str, Any] = {}
        for name, count in counts.items():
            rows = self.ticks[name] = np.zeros(count, TICKS_DTYPE)
            rows["time_msc"] = BEGAN_MS + np.arange(count)
            rows["time"], rows["volume"] = rows["time_msc"] // 1000, np.arange(count)
            rows["bid"], rows["ask"] = 1.1, 1.2

    def symbol_info_tick(self, name: str) -> Tick:
        return Tick(int(self.ticks[name][-1]["time_msc"]), 1.1, 1.2)

    def copy_ticks_from(self, name: str, second: int, count: int, _flags: int) -> Any:
        rows = self.ticks[name]
        return rows[rows["time"] >= second][:count]

    def history_deals_total(self, *_window: int) -> int:
        return 0

    def history_deals_get(self, *_window: int) -> tuple[()]:
        return ()

    orders_get = positions_get = history_deals_get
    orders_total = positions_total = history_deals_total

    def account_info(self) -> Row:
        return Row(7, True, True, False, 1, "")

    terminal_info = account_info


def test_the_ticks_of_hours_come_in_frames_that_can_travel_and_none_is_lost() -> None:
    counts = {"A": POLL_TICK_ROWS * 2 + 5, "B": POLL_TICK_ROWS + 7}
    poller = Poller(Terminal(**counts))
    for name in counts:
        poller.subscribe(name, TickCursor(BEGAN_MS))
    seen: dict[str, list[int]] = {name: [] for name in counts}
    for turn in range(10):
        now = [e for e in poller.poll(turn) if e["k"] == "ticks"]
        rows = [(e["symbol"], unpack_array(e["rows"])["volume"].tolist()) for e in now]
        assert sum(len(r) for _, r in rows) < POLL_TICK_ROWS + PAGE
        for name, numbers in rows:
            seen[name] += numbers
    assert seen == {name: list(range(count)) for name, count in counts.items()}

"""How complete the replayed data is: stored bars over the bars the trading hours leave room for, in percent.

A bar of a quiet minute without a tick is missing at every broker, so 100 % is rare for minutes and usual for hours.
Quotes have no expected number and get no figure.
"""

import numpy as np

from pepperstone_adapter.backtest.plan import framework_period, specs_of
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog.store import CatalogStore

NS = 1_000_000_000
SECONDS = {"M": 60, "H": 3_600, "D": 86_400}


def quality_pct(settings: BacktestSettings, store: CatalogStore) -> dict[str, float]:
    """Symbol -> percent of expected bars that are stored; nothing for quotes and for weeks."""
    period, data = settings.data.bar_period, settings.data
    if period is None or period.value[0] not in SECONDS:
        return {}
    return {
        spec.name: share_stored(
            spec, period, store.bars(spec.name, framework_period(period), "BID", data.start_ns, data.end_ns).ts_ns,
            data.start_ns, data.end_ns,
        )
        for spec in specs_of(settings)
    }  # fmt: skip


def share_stored(
    spec: SymbolSpec,
    period: BarPeriod,
    closes_ns: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    start_ns: int,
    end_ns: int,
) -> float:
    """Percent of the bar slots of `spec`'s trading hours in ``[start_ns, end_ns)`` that hold a bar.

    A slot is one period on the UTC grid that is open for at least half of it.
    """
    size = int(period.value[1:]) * SECONDS[period.value[0]] * NS
    slots = 0
    filled = 0
    for opened, closed in spec.hours.open_intervals(start_ns, end_ns):
        first, last = round(opened / size), round(closed / size)
        slots += last - first
        # A bar is stamped with its close: the slot [k, k+1) holds a close in (k, k+1].
        a, b = np.searchsorted(closes_ns, [first * size, last * size], side="right")
        filled += len(np.unique(-(-closes_ns[a:b] // size)))
    return 100 * filled / slots if slots else 0.0

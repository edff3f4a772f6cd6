"""How complete and sound the replayed data is: `catalog.quality`'s percentage over the months of the run."""

from datetime import timedelta

from pepperstone_adapter.backtest.hashes import series_of
from pepperstone_adapter.backtest.plan import specs_of
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.catalog.quality import check_series
from pepperstone_adapter.catalog.store import CatalogStore

# A check reads its whole series; beyond this it would take longer than the run. `pepperstone data check` does it alone.
MAX_ROWS = 10_000_000


def quality_pct(settings: BacktestSettings, store: CatalogStore) -> dict[str, float]:
    """Symbol -> percent of due slots with a sound row in the months the run touches, the worse of BID and ASK.

    A symbol whose series is longer than `MAX_ROWS` is left out.
    """
    specs = {spec.name: spec for spec in specs_of(settings)}
    first = f"{settings.data.start:%Y-%m}"
    last = f"{settings.data.end - timedelta(microseconds=1):%Y-%m}"
    found: dict[str, float] = {}
    for series in series_of(settings, store):
        if series.rows > MAX_ROWS:
            continue
        months = [m for m in check_series(store, series, specs).months if first <= m.name <= last]
        due, sound = sum(m.due for m in months), sum(m.sound for m in months)
        percent = 100 * sound / due if due else 0.0
        found[series.symbol] = min(percent, found.get(series.symbol, 100.0))
    return found

"""How complete and sound the replayed data is: `catalog.quality`'s percentage over exactly the run's period."""

from pepperstone_adapter.backtest.hashes import series_of
from pepperstone_adapter.backtest.plan import specs_of
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.catalog.quality import check_series
from pepperstone_adapter.catalog.store import CatalogStore

# Beyond this a check would take longer than the run. `pepperstone data check` does it alone.
MAX_ROWS = 10_000_000


def quality_pct(settings: BacktestSettings, store: CatalogStore) -> dict[str, float]:
    """Symbol -> percent of due slots of the run's period with a sound row, the worse of BID and ASK.

    A symbol whose series is longer than `MAX_ROWS` is left out.
    """
    specs = {spec.name: spec for spec in specs_of(settings)}
    found: dict[str, float] = {}
    for series in series_of(settings, store):
        if series.rows > MAX_ROWS:
            continue
        percent = check_series(store, series, specs, settings.data.start_ns, settings.data.end_ns).percent
        found[series.symbol] = min(percent, found.get(series.symbol, 100.0))
    return found

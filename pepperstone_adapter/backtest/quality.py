"""How complete and sound the replayed data is: `catalog.quality`'s judgement over exactly the run's period."""

from collections import Counter
from dataclasses import dataclass, field

from pepperstone_adapter.backtest.hashes import series_of
from pepperstone_adapter.backtest.plan import specs_of
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.catalog.quality import check_series, with_past_holidays
from pepperstone_adapter.catalog.store import CatalogStore

# Beyond this a check would take longer than the run. `pepperstone data check` does it alone.
MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class DataQuality:
    """By symbol; one whose series is longer than `MAX_ROWS` is left out.

    Attributes
    ----------
    percent
        Due slots of the run's period with a sound row, the worse of BID and ASK.
    findings
        Kind of `catalog.quality.FINDINGS` -> rows of both sides; a sound symbol has an empty entry.
    """

    percent: dict[str, float] = field(default_factory=dict)
    findings: dict[str, dict[str, int]] = field(default_factory=dict)


def data_quality(settings: BacktestSettings, store: CatalogStore) -> DataQuality:
    """Judge what a run will replay."""
    specs, told = {spec.name: spec for spec in specs_of(settings)}, settings.told_specs()
    # Hours that the settings give are taken as they are.
    as_told = [name for name, spec in specs.items() if name in told and spec.hours == told[name].hours]
    specs |= {name: with_past_holidays(specs[name]) for name in as_told}
    percent: dict[str, float] = {}
    findings: dict[str, Counter[str]] = {}
    for series in series_of(settings, store):
        if series.rows > MAX_ROWS:
            continue
        found = check_series(store, series, specs, settings.data.start_ns, settings.data.end_ns)
        percent[series.symbol] = min(found.percent, percent.get(series.symbol, 100.0))
        findings.setdefault(series.symbol, Counter()).update({k: n for k, n in found.counts.items() if n})
    return DataQuality(percent, {name: dict(kinds) for name, kinds in findings.items()})

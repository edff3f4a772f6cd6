"""Fingerprints of what goes into a run, so that a result can be told to come from the same settings, data and code.

Each is a SHA-256 in hex and does not depend on where things lie on the disk.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pepperstone_adapter.backtest.plan import framework_period
from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.catalog.store import CatalogStore, Series
from pepperstone_adapter.common.class_path import sources
from pepperstone_adapter.common.errors import DataError

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("*.py", "*.yaml")


def settings_hash(settings: BacktestSettings) -> str:
    """Over every value that can change the result: no paths, no output, no chunk size."""
    plain: dict[str, Any] = settings.model_dump(
        mode="json", exclude={"output": True, "data": {"catalog", "chunk_rows"}}
    )
    for strategy in plain["strategies"]:
        file, _, name = strategy["strategy"].rpartition(":")
        strategy["strategy"] = f"{Path(file).name}:{name}"
    return _sha(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


def data_hash(settings: BacktestSettings, store: CatalogStore) -> str:
    """Over the stored rows the run replays, symbol by symbol in the settings' order, and the broker's stored symbols.

    Raises
    ------
    DataError
        A symbol has no data of the wanted resolution.
    """
    data = settings.data
    lines = [f"{s.identifier} {store.digest(s, data.start_ns, data.end_ns)}" for s in series_of(settings, store)]
    told = settings.told_specs()
    lines += [repr(told[name]) for name in data.instruments if name in told]
    return _sha("\n".join(lines).encode())


def code_hash(strategy_files: Iterable[Path]) -> str:
    """Over this package's sources and tables, the strategies' files and what those import from beside them: by name
    and content."""
    files = [(p.relative_to(PACKAGE).as_posix(), p) for kind in SOURCES for p in PACKAGE.rglob(kind)]
    files = [(name, p) for name, p in files if not name.startswith("_bundled/")]
    own = [(p.resolve().parent, source) for p in strategy_files for source in sources(p)]
    files += [(f"strategy/{source.relative_to(folder, walk_up=True).as_posix()}", source) for folder, source in own]
    sha = hashlib.sha256()
    for name, path in sorted(set(files)):
        # Line ends are a matter of the checkout, not of the code.
        content = path.read_bytes().replace(b"\r\n", b"\n")
        sha.update(f"{name} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def series_of(settings: BacktestSettings, store: CatalogStore) -> list[Series]:
    """The stored series a run replays: quotes, or BID bars and ASK bars where there are some."""
    found: list[Series] = []
    for name in settings.data.instruments:
        period = settings.data.bar_period
        if period is None:
            first, *rest = [store.quote_series(name)]
        else:
            first, *rest = [store.bar_series(name, framework_period(period), side) for side in ("BID", "ASK")]
        if first is None:
            what = "quotes" if period is None else f"{period} bars"
            stored = ", ".join(s.identifier for s in store.series() if s.symbol == name) or "nothing"
            raise DataError(
                f"no {what} of {name} in the catalog at {store.path}; stored of it: {stored}. Import them with "
                "`pepperstone data import`, or change data.resolution"
            )
        found += [s for s in (first, *rest) if s is not None]
    return found


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

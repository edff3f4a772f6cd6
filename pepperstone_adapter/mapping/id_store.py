"""What our orders are called at the venue, kept on disk so that a restart finds them again.

The framework cannot keep its cache with Python clients, so this SQLite file (WAL) is the memory of who is who: one row
for every order we meant to send, written *before* the order leaves. A row whose order the broker never saw does no
harm; an order without a row would come back as a stranger's. Once written a row outlives the process; until it is
flushed to the disk (`common.journal`) a power cut can take it. So an intent is flushed before its order leaves, or at
the same time where the broker itself keeps all that the row says (ADR 0040). Later notes reach the disk with the next
intent, and what a power cut takes of them is found again at the broker.

All texts are ours or the venue's ids; no money, no prices, no secrets.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.journal import Flusher, copy_log, open_journal
from pepperstone_adapter.mapping.ids import Leg

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    client_order_id TEXT PRIMARY KEY,
    venue_text      TEXT NOT NULL UNIQUE,
    strategy_id     TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    units           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    leg             TEXT,
    parent          TEXT,
    order_id        TEXT,
    position_id     TEXT,
    ended           INTEGER NOT NULL DEFAULT 0,
    created_ns      INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS orders_by_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS orders_by_position ON orders (position_id) WHERE position_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS orders_by_parent ON orders (parent) WHERE parent IS NOT NULL;
"""
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order of ours.

    Attributes
    ----------
    kind
        ``entry`` (opens or adds), ``close`` (of a ticket), ``leg`` (stop loss or take profit of a position).
    parent
        Of a leg: the client order id of the entry it came with; None when attached to an open position.
    order_id, position_id
        The venue's ids, as far as known. Of a leg: its `leg_text`, and the position it protects.
    """

    client_order_id: str
    venue_text: str
    strategy_id: str
    symbol: str
    side: Side
    units: Decimal
    kind: str
    leg: Leg | None = None
    parent: str | None = None
    order_id: str | None = None
    position_id: str | None = None
    ended: bool = False
    created_ns: int = 0


_COLUMNS = (
    "client_order_id, venue_text, strategy_id, symbol, side, units, kind, leg, parent, order_id, position_id, ended, "
    "created_ns"
)
_ROW = f"({','.join('?' * len(_COLUMNS.split(',')))})"


class IdStore:
    """The identity map of one account.

    Parameters
    ----------
    path
        The SQLite file; folders are made. One process at a time (the launcher holds the account's lock).
    flush_failed
        Told, in another thread, why intents may not be on the disk although `flush_soon` was asked.

    Raises
    ------
    DataError
        When the file is not such a store or was written by a newer version.
    """

    def __init__(self, path: Path, flush_failed: Callable[[OSError], None] = lambda _error: None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._db = open_journal(path)
            try:
                self._check_version()
                self._db.executescript(_SCHEMA)
                self._db.execute(f"PRAGMA user_version={VERSION}")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._flusher = Flusher(path, flush_failed)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.OperationalError as e:
            raise DataError(f"{path}: the order store cannot be written ({e}); look at its disk and its rights") from e
        except sqlite3.DatabaseError as e:
            raise DataError(f"{path}: not a usable order store ({e}); move it away and start again") from e

    def _check_version(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise DataError(
                f"{self._path}: written by a newer version of this program; update it, or move the file away"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._flusher.close()
        self._db.close()

    def add(self, records: Sequence[OrderRecord]) -> None:
        """Write the intent to send these orders, all or none. The system has it when this returns, the disk only after
        a flush: a process that is killed loses nothing, a power cut may take it.

        Raises
        ------
        DataError
            When it cannot be written: the orders must then not be sent.
        """
        values = [value for record in records for value in _values(record)]
        try:
            self._db.execute(f"INSERT INTO orders ({_COLUMNS}) VALUES {','.join([_ROW] * len(records))}", values)  # noqa: S608 - constants
        except sqlite3.Error as e:
            raise DataError(f"{self._path}: the order could not be noted before sending ({e})") from e

    def flush(self) -> None:
        """Return when all that was written is on the disk. Raises `DataError`, as `add` does."""
        try:
            if self._flusher.broken:
                copy_log(self._db)
                self._flusher.broken = False
            self._flusher.now()
        except OSError as e:
            raise DataError(f"{self._path}: the order could not be noted before sending ({e.strerror or e})") from e

    def flush_soon(self) -> None:
        """Put it on the disk beside the caller; returns at once."""
        self._flusher.soon()

    def note(
        self,
        client_order_id: str,
        order_id: str | None = None,
        position_id: str | None = None,
        ended: bool | None = None,
    ) -> None:
        """Add what the venue said; None leaves a value as it is."""
        self._db.execute(
            "UPDATE orders SET order_id=COALESCE(?,order_id), position_id=COALESCE(?,position_id), "
            "ended=COALESCE(?,ended) WHERE client_order_id=?",
            (order_id, position_id, None if ended is None else int(ended), client_order_id),
        )

    def place_legs(self, parent: str, position_id: str) -> None:
        """An entry has filled: its legs now protect this position."""
        self._db.execute("UPDATE orders SET position_id=? WHERE parent=?", (position_id, parent))

    def get(self, client_order_id: str) -> OrderRecord | None:
        return self._one("client_order_id=?", client_order_id)

    def by_venue_text(self, text: str) -> OrderRecord | None:
        return self._one("venue_text=?", text)

    def by_order_id(self, order_id: str) -> OrderRecord | None:
        return self._one("order_id=?", order_id)

    def legs_of(self, position_id: str) -> list[OrderRecord]:
        """Legs of a position that have not ended."""
        return self._many("position_id=? AND leg IS NOT NULL AND ended=0", position_id)

    def open_records(self) -> list[OrderRecord]:
        """Every order not known to have ended, oldest first."""
        return self._many("ended=0 ORDER BY created_ns")

    def newest_ns(self) -> int:
        """When the newest order was made; 0 without any."""
        (newest,) = self._db.execute("SELECT COALESCE(MAX(created_ns), 0) FROM orders").fetchone()
        return int(newest)

    def forget_ended(self, before_ns: int) -> int:
        """Drop ended orders created before a time; returns how many."""
        return self._db.execute("DELETE FROM orders WHERE ended=1 AND created_ns<?", (before_ns,)).rowcount

    def _one(self, where: str, *values: str) -> OrderRecord | None:
        found = self._many(where, *values)
        return found[0] if found else None

    def _many(self, where: str, *values: str) -> list[OrderRecord]:
        rows: Iterable[tuple[object, ...]] = self._db.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE {where}",  # noqa: S608 - constants of this file
            values,
        )
        return [_record(row) for row in rows]


def _values(record: OrderRecord) -> tuple[object, ...]:
    return (
        record.client_order_id,
        record.venue_text,
        record.strategy_id,
        record.symbol,
        record.side.value,
        str(record.units),
        record.kind,
        record.leg.value if record.leg else None,
        record.parent,
        record.order_id,
        record.position_id,
        int(record.ended),
        record.created_ns,
    )


def _record(row: tuple[object, ...]) -> OrderRecord:
    return OrderRecord(
        client_order_id=str(row[0]),
        venue_text=str(row[1]),
        strategy_id=str(row[2]),
        symbol=str(row[3]),
        side=Side(str(row[4])),
        units=Decimal(str(row[5])),
        kind=str(row[6]),
        leg=Leg(str(row[7])) if row[7] is not None else None,
        parent=None if row[8] is None else str(row[8]),
        order_id=None if row[9] is None else str(row[9]),
        position_id=None if row[10] is None else str(row[10]),
        ended=bool(row[11]),
        created_ns=int(str(row[12])),
    )

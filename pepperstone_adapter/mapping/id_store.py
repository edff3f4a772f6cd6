"""What our orders are called at the venue, kept on disk so that a restart finds them again.

The framework cannot keep its cache with Python clients, so this SQLite file (WAL) is the memory of who is who: one row
for every order we meant to send, written *before* the order leaves. A row whose order the broker never saw does no
harm; an order without a row would come back as a stranger's. The intent is flushed to the disk; later notes reach it
with the next intent, and what a power cut takes of them is found again at the broker (`common.journal` is about the
flush).

All texts are ours or the venue's ids; no money, no prices, no secrets.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.common.journal import open_journal
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


class IdStore:
    """The identity map of one account.

    Parameters
    ----------
    path
        The SQLite file; folders are made. One process at a time (the launcher holds the account's lock).

    Raises
    ------
    DataError
        When the file is not such a store or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._db = open_journal(path)
            try:
                self._check_version()
                self._db.executescript(_SCHEMA)
                self._db.execute(f"PRAGMA user_version={VERSION}")
                self._db.execute("PRAGMA synchronous=NORMAL")
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
        self._db.close()

    def add(self, records: Sequence[OrderRecord]) -> None:
        """Write the intent to send these orders; all or none, on the disk when it returns.

        Raises
        ------
        DataError
            When it cannot be written: the orders must then not be sent.
        """
        rows = [
            (
                r.client_order_id,
                r.venue_text,
                r.strategy_id,
                r.symbol,
                r.side.value,
                str(r.units),
                r.kind,
                r.leg.value if r.leg else None,
                r.parent,
                r.order_id,
                r.position_id,
                int(r.ended),
                r.created_ns,
            )
            for r in records
        ]
        try:
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(f"INSERT INTO orders ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608 - constants
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as e:
            raise DataError(f"{self._path}: the order could not be noted before sending ({e})") from e

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

"""What our orders are called at the venue, kept on disk so that a restart finds them again.

The framework cannot keep its cache with Python clients, so this SQLite file (WAL) is the memory of who is who: one row
for every order we meant to send, written *before* the order leaves. A row whose order the broker never saw does no
harm; an order without a row would come back as a stranger's. Once written a row outlives the process; until it is
flushed to the disk (`common.journal`) a power cut can take it. So an intent is flushed before its order leaves, or at
the same time where the broker itself keeps all that the row says (ADR 0040). Later notes reach the disk with the next
intent, and what a power cut takes of them is found again at the broker.

An order that need not wait for the disk need not wait for a row of SQLite either (ADR 0040): its
intent is a line of ``orders.sqlite-intents``, which becomes a row a moment later, or at the next opening when the
process did not live so long. It is the same promise: what was written outlives the process.

All texts are ours or the venue's ids; no money, no prices, no secrets.
"""

import ast
import contextlib
import os
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
type Row = tuple[str | int | None, ...]
_BINARY = getattr(os, "O_BINARY", 0)


class IdStore:
    """The identity map of one account.

    Parameters
    ----------
    path
        The SQLite file; folders are made. One process at a time (the launcher holds the account's lock).
    flush_failed
        Told, in any thread, why intents may not be on the disk although `flush_soon` was asked.

    Raises
    ------
    DataError
        When the file is not such a store or was written by a newer version.
    """

    def __init__(self, path: Path, flush_failed: Callable[[Exception], None] = lambda _error: None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._flush_failed = flush_failed
        self._announced: list[Row] = []
        try:
            with contextlib.ExitStack() as undo:
                self._db = open_journal(path)
                undo.callback(self._db.close)
                self._check_version()
                self._db.executescript(_SCHEMA)
                self._db.execute(f"PRAGMA user_version={VERSION}")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._lines = os.open(f"{path}-intents", os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
                undo.callback(os.close, self._lines)
                self._take_lines()
                self._names = self._all_names()
                self._flusher = Flusher(path, flush_failed)
                undo.pop_all()
        except (sqlite3.OperationalError, OSError) as e:
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
        with contextlib.suppress(sqlite3.Error, OSError):  # the lines are there for the next opening
            self._settle()
        self._flusher.close()
        self._db.close()
        os.close(self._lines)

    def intend(self, record: OrderRecord) -> None:
        """Write the intent to send an order, as fast as can be. The system has it when this returns: a process that is
        killed loses nothing, a power cut may take it. `flush_soon` is to follow.

        Raises
        ------
        DataError
            When it cannot be written: the order must then not be sent.
        """
        row = _values(record)
        if not self._names.isdisjoint(row[:2]):
            raise self._unnoted("an order of this name was sent before")
        line = f"{row!r}\n".encode()
        try:
            written = os.write(self._lines, line)
        except OSError as e:
            raise self._unnoted(e.strerror) from e
        if written != len(line):
            os.ftruncate(self._lines, os.fstat(self._lines).st_size - written)
            raise self._unnoted("the disk is full")
        self._announced.append(row)
        self._names.update(row[:2])

    def add(self, records: Sequence[OrderRecord]) -> None:
        """Put the intent to send these orders on the disk, all or none.

        Raises
        ------
        DataError
            When that cannot be done: the orders must then not be sent.
        """
        try:
            self._settle()
            rows = [_values(record) for record in records]
            self._insert(rows)
            self._names |= {name for row in rows for name in row[:2]}
            if self._flusher.broken:
                copy_log(self._db)
                self._flusher.broken = False
            self._flusher.now()
        except (sqlite3.Error, OSError) as e:
            raise self._unnoted(getattr(e, "strerror", None) or e) from e

    def _unnoted(self, why: object) -> DataError:
        return DataError(f"{self._path}: the order could not be noted before sending ({why})")

    def _insert(self, rows: Sequence[Row], verb: str = "INSERT") -> None:
        values = [value for row in rows for value in row]
        self._db.execute(f"{verb} INTO orders ({_COLUMNS}) VALUES {','.join([_ROW] * len(rows))}", values)

    def _take_lines(self) -> None:
        """Make rows of the lines a process left that was killed. A torn one is the last and its order never left."""
        with contextlib.suppress(ValueError, SyntaxError), open(self._lines, "rb", closefd=False) as lines:
            for line in lines:
                self._insert([ast.literal_eval(line.decode())], "INSERT OR IGNORE")
        os.ftruncate(self._lines, 0)

    def _all_names(self) -> set[str | int | None]:
        return {name for row in self._db.execute("SELECT client_order_id, venue_text FROM orders") for name in row}

    def _settle(self) -> None:
        """Make rows of what was announced. Raises `sqlite3.Error`, `OSError`."""
        if self._announced:
            self._insert(self._announced)
            self._announced = []
            os.ftruncate(self._lines, 0)

    def flush_soon(self) -> None:
        """Put all that was written on the disk beside the caller; returns at once."""
        try:
            self._settle()
        except (sqlite3.Error, OSError) as e:
            self._flush_failed(e)
        else:
            self._flusher.soon()

    def note(
        self,
        client_order_id: str,
        order_id: str | None = None,
        position_id: str | None = None,
        ended: bool | None = None,
    ) -> None:
        """Add what the venue said; None leaves a value as it is. Raises `sqlite3.Error`, `OSError`."""
        self._settle()
        self._db.execute(
            "UPDATE orders SET order_id=COALESCE(?,order_id), position_id=COALESCE(?,position_id), "
            "ended=COALESCE(?,ended) WHERE client_order_id=?",
            (order_id, position_id, None if ended is None else int(ended), client_order_id),
        )

    def place_legs(self, parent: str, position_id: str) -> None:
        """An entry has filled: its legs now protect this position. Raises as `note` does."""
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
        self._settle()
        (newest,) = self._db.execute("SELECT COALESCE(MAX(created_ns), 0) FROM orders").fetchone()
        return int(newest)

    def forget_ended(self, before_ns: int) -> int:
        """Drop ended orders created before a time; returns how many."""
        self._settle()
        forgotten = self._db.execute("DELETE FROM orders WHERE ended=1 AND created_ns<?", (before_ns,)).rowcount
        self._names = self._all_names()
        return forgotten

    def _one(self, where: str, *values: str) -> OrderRecord | None:
        found = self._many(where, *values)
        return found[0] if found else None

    def _many(self, where: str, *values: str) -> list[OrderRecord]:
        with contextlib.suppress(sqlite3.Error, OSError):  # a full disk takes nothing from what can be read
            self._settle()
        rows: Iterable[Row] = self._db.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE {where}",  # noqa: S608 - constants of this file
            values,
        )
        return [_record(row) for row in rows]


def _values(record: OrderRecord) -> Row:
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


def _record(row: Row) -> OrderRecord:
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

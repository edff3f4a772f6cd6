"""The account's symbols: read at the start, and those in use looked at again, because the terminal tells no changes.

What a broker may change while a node runs: the trading mode (closing only before a delisting), least distances, sizes, swap,
filling and expiration flags, and, seldom, digits. An order must be measured by what holds now.
"""

from collections.abc import Sequence
from typing import Any, Final

from pepperstone_adapter.broker.events import BrokerEvent, Notice, SymbolChanged
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mt5.client import parsing
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.book import UNREADABLE
from pepperstone_adapter.mt5.client.swaps import swap_gaps

LOOK_AGAIN_NS: Final = 60 * 1_000_000_000


class Symbols:
    """
    Parameters
    ----------
    rows, specs
        Filled and kept up to date here, by the user's names: ``symbol_info`` as the terminal has it, and what it means.
    """

    def __init__(self, account: Mt5Account, rows: dict[str, Any], specs: dict[str, SymbolSpec]) -> None:
        self._account = account
        self._rows = rows
        self._specs = specs
        self._looked_ns = 0
        self._told: set[str] = set()

    def load(self, rows: Sequence[Any], now_ns: int) -> list[BrokerEvent]:
        """Take in all symbols; what to tell about it.

        Raises
        ------
        DataError
            One that the settings name cannot be traded by what its row says.
        """
        self._looked_ns = now_ns
        out: list[BrokerEvent] = []
        for row in rows:
            try:
                self._rows[row["name"]], self._specs[row["name"]] = row, self._spec(row)
            except DataError as error:  # one odd row of a thousand must not keep the others from trading
                if row["name"] in self._account.symbols:
                    raise
                out.append(Notice(level="warning", text=f"left out: {error}", ts_ns=now_ns))
        if (gaps := swap_gaps(self._rows.values())) is not None:
            out.append(Notice(level="warning", text=gaps, ts_ns=now_ns))
        return out

    def due(self, now_ns: int) -> bool:
        """Whether to look again; then not for a minute."""
        if now_ns - self._looked_ns < LOOK_AGAIN_NS:
            return False
        self._looked_ns = now_ns
        return True

    def look(self, row: Any, now_ns: int) -> list[BrokerEvent]:
        """A symbol as it is now; a change is told, a row that means nothing is told once and changes nothing."""
        name = row["name"]
        try:
            spec = self._spec(row)
        except DataError as error:
            if str(error) in self._told:
                return []
            self._told.add(str(error))
            return [Notice(level="error", text=f"{error}; what was known before still counts", ts_ns=now_ns)]
        self._rows[name] = row
        if spec == self._specs.get(name):
            return []
        self._specs[name] = spec
        return [SymbolChanged(spec=spec, ts_ns=now_ns)]

    def _spec(self, row: Any) -> SymbolSpec:
        name, source = row["name"], f"MT5 account {self._account.login}"
        hours, leverage = self._account.hours(name), self._account.leverage_class(name)
        try:
            return parsing.symbol_spec(row, hours, leverage, source)
        except UNREADABLE as error:
            raise DataError(f"symbol {name} cannot be read: {type(error).__name__}: {error}") from error

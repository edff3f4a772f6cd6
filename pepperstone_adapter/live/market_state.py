"""Whether a symbol trades now, and whether its quotes still come. Pure: the time is an argument.

Status follows from the broker's weekly hours, its holidays and the symbol's trading mode. A feed is stale when a
subscribed symbol that trades has been silent for too long; it is told once, and again when quotes come back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nautilus_trader.model import InstrumentId, InstrumentStatus, MarketStatusAction

from pepperstone_adapter.broker.symbols import SymbolSpec, TradingMode

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MarketState:
    action: MarketStatusAction
    reason: str
    trading: bool

    def status(self, instrument_id: InstrumentId, short_selling: bool, now_ns: int) -> InstrumentStatus:
        return InstrumentStatus(
            instrument_id,
            self.action,
            now_ns,
            now_ns,
            reason=self.reason,
            is_trading=self.trading,
            is_quoting=self.action in (MarketStatusAction.TRADING, MarketStatusAction.HALT),
            is_short_sell_restricted=not short_selling,
        )


def market_state(spec: SymbolSpec, now_ns: int) -> MarketState:
    if spec.trading_mode is TradingMode.DISABLED:
        return MarketState(MarketStatusAction.NOT_AVAILABLE_FOR_TRADING, "disabled by the broker", trading=False)
    if not spec.hours.is_open(now_ns):
        return MarketState(MarketStatusAction.CLOSE, "outside trading hours", trading=False)
    if spec.trading_mode is TradingMode.CLOSE_ONLY:
        return MarketState(MarketStatusAction.HALT, "closing only", trading=False)
    return MarketState(MarketStatusAction.TRADING, "", trading=True)


@dataclass(slots=True)
class StaleFeed:
    """Watches the age of quotes.

    Parameters
    ----------
    after_s
        Silence of a trading symbol that counts as stale; 0 turns the alarm off.

    Attributes
    ----------
    dead_since_ns
        The stale ones about which nothing could be done, and when it was tried.
    """

    after_s: float
    dead_since_ns: dict[str, int] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    _since_ns: dict[str, int] = field(default_factory=dict)

    def check(self, trading: Iterable[tuple[str, int]], now_ns: int) -> tuple[list[str], list[str]]:
        """Symbols that have just become stale (of the dead ones: as long again), and stale ones that have just come back.

        Parameters
        ----------
        trading
            Subscribed symbols whose market is open, with the monotonic time of their last tick (0 = none yet).
        now_ns
            The same monotonic clock.
        """
        gone: list[str] = []
        back: list[str] = []
        seen: set[str] = set()
        for symbol, last_ns in trading:
            seen.add(symbol)
            # Silence counts from the opening of the market at the earliest, not from Friday's last tick.
            last = max(last_ns, self._since_ns.setdefault(symbol, now_ns))
            if self.after_s and now_ns - last > self.after_s * NS:
                tried_ns = self.dead_since_ns.get(symbol, now_ns)
                if symbol not in self._stale or now_ns - tried_ns > self.after_s * NS:
                    self._stale.add(symbol)
                    self.dead_since_ns.pop(symbol, None)
                    gone.append(symbol)
            elif symbol in self._stale:
                self._forget(symbol)
                back.append(symbol)
        for symbol in list(self._since_ns):
            if symbol not in seen:
                del self._since_ns[symbol]
                self._forget(symbol)
        return gone, back

    def again(self, symbols: Iterable[str], now_ns: int) -> None:
        """Nothing could be done about these: they are told once more when they have been silent for as long again."""
        self.dead_since_ns |= dict.fromkeys(symbols, now_ns)

    def _forget(self, symbol: str) -> None:
        self._stale.discard(symbol)
        self.dead_since_ns.pop(symbol, None)

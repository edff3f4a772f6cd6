"""The ticks of one session: who wants those of which symbols, and what new ones say about the server's clock.

A few symbols are read for the clock alone, whoever wants quotes (see `server_clock`).

Every batch of ticks says where it ends. A gateway that does not read a symbol (it began again, or we were away for so long
that it stopped) begins at the end of the last batch, so that an outage of some minutes costs no tick; after a longer one it
begins with the newest tick, and what is missing is said.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pepperstone_adapter.broker.events import BrokerEvent, Notice
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import NotFound
from pepperstone_adapter.mt5.client.market_rows import MarketRows, is_time
from pepperstone_adapter.mt5.client.server_clock import TOLERANCE_NS, ClockCheck
from pepperstone_adapter.mt5.client.stream_times import NS_PER_MS, StreamTimes
from pepperstone_adapter.mt5.gateway.wire import unpack_array

AWAY_MAX_S: Final = 600.0  # nobody acts on the ticks of an hour ago


class Quotes:
    """Subscriptions and news of ticks.

    Attributes
    ----------
    wanted
        Symbols whose quotes somebody has asked for.
    watched
        Symbols that are read for the clock.
    """

    def __init__(
        self,
        call: Callable[..., Awaitable[Any]],
        clock: ServerClock,
        rows: MarketRows,
        emit: Callable[[Sequence[BrokerEvent]], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._call = call
        self._clock = clock
        self._rows = rows
        self._emit = emit
        self._now_ns = now_ns
        self._times = StreamTimes(clock)
        self._priced: set[str] = set()  # wanted ones that have had a price
        self._cursors: dict[str, Any] = {}  # where the last batch of a symbol ended
        self._late_ns = 0  # how far the last new tick was behind this machine's clock; negative: ahead of it
        self._behind: set[str] = set()  # of which the gateway no longer has all that came after it
        self.clock_check = ClockCheck(clock)
        self.wanted: set[str] = set()
        self.watched: tuple[str, ...] = ()

    def server_now_ns(self) -> int:
        """Now (UTC) by the clock that stamps ticks: what is over by this machine's clock alone may still change."""
        return self._now_ns() - self._late_ns

    async def subscribe(self, spec: SymbolSpec) -> None:
        self.wanted.add(spec.name)
        newest = await self._call("subscribe_ticks", spec.name)
        if newest is not True and spec.name not in self._priced:
            self._priced.add(spec.name)
            self._emit(self._ticks(newest, spec, self._now_ns()))

    async def unsubscribe(self, symbol: str) -> None:
        self.wanted.discard(symbol)
        self._priced.discard(symbol)
        self._cursors.pop(symbol, None)
        if symbol not in self.watched:
            await self._call("unsubscribe_ticks", symbol)

    def broke(self) -> None:
        """The gateway no longer has all that it sent since we last heard it."""
        self._behind = set(self._cursors)

    async def again(self, away_s: float) -> None:
        """Subscribe anew to all of them, at a gateway that may know none; say of which wanted ones ticks are missing."""
        for symbol in sorted(self.wanted.union(self.watched)):
            known = self._cursors.get(symbol)
            from_here = (known,) if known is not None and away_s <= AWAY_MAX_S else ()
            begun = await self._call("subscribe_ticks", symbol, *from_here) is True
            whole = bool(from_here) if begun else symbol not in self._behind
            self._behind.discard(symbol)
            if known is not None and not whole and symbol in self.wanted:
                text = f"{symbol}: the quotes of the time without a link are missing"
                self._emit([Notice(level="warning", text=text, ts_ns=self._now_ns())])

    async def watch(self) -> None:
        for symbol in self.watched:
            await self._call("subscribe_ticks", symbol)

    async def listen(self, symbol: str) -> None:
        """Have the ticks of a symbol read for the clock from now on."""
        self.watched = tuple(dict.fromkeys((*self.watched, symbol)))
        await self._call("subscribe_ticks", symbol)
        with contextlib.suppress(NotFound):  # a price that is there already comes sooner than the next poll
            newest_ms, now_ns = (await self._call("symbol_info_tick", symbol))["time_msc"], self._now_ns()
            if is_time(newest_ms // 1000, now_ns):
                self.clock_check.seen(self._clock.to_utc_ns(newest_ms * NS_PER_MS), now_ns, None)

    def news(self, item: Any, spec: SymbolSpec) -> tuple[Sequence[Tick], str | None]:
        """The ticks that somebody wants, and why trading must stop where they contradict the clock's rule."""
        if spec.name not in self.wanted and spec.name not in self.watched:
            return (), None
        ticks = self._ticks(unpack_array(item["rows"]), spec, item["polled_ns"])
        self._cursors[spec.name] = item["cursor"]
        if not ticks:
            return (), None
        late_ns = self._now_ns() - ticks[-1].ts_ns
        if item.get("made_ns") is not None and abs(late_ns) <= TOLERANCE_NS:  # else its stamp is wrong, or it waited
            self._late_ns = late_ns
        wrong = self.clock_check.seen(ticks[-1].ts_ns, item["polled_ns"], item.get("made_ns"))
        if spec.name not in self.wanted:
            return (), wrong
        self._priced.add(spec.name)
        return ticks, wrong

    def _ticks(self, rows: Any, spec: SymbolSpec, read_ns: int) -> list[Tick]:
        return self._rows.ticks(rows, spec, lambda stamps: self._times.utc_ns(spec.name, stamps, read_ns))

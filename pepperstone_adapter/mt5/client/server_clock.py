"""Does the server's clock follow the rule we were given? A wrong rule shifts every bar, fill and expiry by hours.

A tick that has just been made, read by the rule, must be close to the time of the machine beside the terminal. Only the
gateway knows that a tick is new: ticks it catches up with after a stop, or that waited in its ring buffer, are as old
as the stop was long, and prove nothing. A wrong rule shifts all ticks alike, so differences that disagree prove nothing
either. A stamp from the future is never an old tick.

No order for new risk leaves before a tick has confirmed the rule, nor when the last confirmation is older than an hour
(the weekend on which clocks change lies between two of them), nor after a new tick that contradicts it. Such an order
waits a moment for a tick of its own symbol and is then refused: with a closed market there is nothing to confirm with,
and the broker would refuse it as well. Closing and removing need no clock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from pepperstone_adapter.broker.orders import AmendRequest, OrderRequest, OrderType, PositionState
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.common.errors import OrderRefused
from pepperstone_adapter.mt5.client.market_rows import is_time

NS: Final = 1_000_000_000
TOLERANCE_NS: Final = 5 * 60 * NS
AGREE_NS: Final = 60 * NS
NEW_NS: Final = 60 * NS
CONFIRMED_FOR_NS: Final = 3600 * NS
CONFIRM_WAIT_S: Final = 3.0
NEEDED: Final = 3
WATCHED: Final = 3


def symbols_to_watch(rows: Mapping[str, Any], wanted: Iterable[str]) -> tuple[str, ...]:
    """Whose ticks are read for the clock even when nobody asked for their quotes: a few of the Market Watch (nothing is
    added to it), the wanted ones first."""
    order = dict.fromkeys([*(name for name in wanted if name in rows), *rows])
    return tuple(name for name in order if rows[name]["select"])[:WATCHED]


def closes(request: OrderRequest | AmendRequest, netted: Iterable[PositionState]) -> bool:
    """Whether a request can only take risk away: it names its position, or is at most one of `netted`,
    turned round."""
    if isinstance(request, AmendRequest):
        return False
    return request.position_id is not None or any(
        request.type is OrderType.MARKET
        and held.symbol == request.symbol
        and held.side is request.side.opposite
        and held.units >= request.units
        for held in netted
    )


class ClockCheck:
    """Counts new ticks that contradict the rule in the same way; a few in a row are proof. One that fits confirms it."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._against = 0
        self._difference_ns = 0
        self._confirmed_ns: int | None = None
        self._confirmed = asyncio.Event()

    def newest(self, rows: Mapping[str, Any], now_ns: int) -> str | None:
        """Why trading must not start, from the newest tick of all ``symbol_info`` rows; an old one says nothing, because
        the market may be closed.

        A wrong rule shifts all symbols. One alone that is ahead, while others have ticks of now, is at fault itself.
        """
        stamps = {name: int(row["time"]) for name, row in rows.items()}
        off = {name: self._clock.to_utc_ns(at * NS) - now_ns for name, at in stamps.items() if is_time(at, now_ns)}
        symbol = max(off, key=off.__getitem__, default="")
        difference_ns = off.get(symbol, -NEW_NS - 1)
        alone = sum(abs(other - difference_ns) <= NEW_NS for other in off.values()) == 1
        outvoted = alone and sum(abs(other) <= NEW_NS for other in off.values()) >= NEEDED
        if abs(difference_ns) <= NEW_NS or outvoted:
            self._confirm(now_ns)
            return None
        told = f"the newest tick of {symbol} is"
        return self._reason(difference_ns, told) if difference_ns > TOLERANCE_NS else None

    def seen(self, tick_utc_ns: int, polled_ns: int, made_ns: int | None) -> str | None:
        """Why trading must stop, or None.

        Parameters
        ----------
        polled_ns
            When the tick was read from the terminal.
        made_ns
            The same, when the tick had just been made; None for one that was found there.
        """
        difference_ns = tick_utc_ns - polled_ns
        if made_ns is None:
            if abs(difference_ns) <= NEW_NS and not self._against:
                self._confirm(polled_ns)
            return None
        if abs(difference_ns) <= TOLERANCE_NS:
            self._against = 0
            self._confirm(made_ns)
            return None
        self._confirmed_ns = None
        self._confirmed.clear()
        agrees = abs(difference_ns - self._difference_ns) <= AGREE_NS
        self._against = self._against + 1 if agrees else 1
        self._difference_ns = difference_ns
        return self._reason(difference_ns) if self._against >= NEEDED else None

    def confirmed(self, now_ns: int) -> bool:
        """Whether a tick of the last hour has shown that the rule holds, and none contradicted it since."""
        return self._confirmed_ns is not None and now_ns - self._confirmed_ns <= CONFIRMED_FOR_NS

    async def wait(self, symbol: str, now_ns: Callable[[], int], listen: Callable[[str], Awaitable[None]]) -> None:
        """Until the rule is confirmed.

        Parameters
        ----------
        listen
            Makes the ticks of a symbol come in.

        Raises
        ------
        OrderRefused
            Not confirmed within `CONFIRM_WAIT_S`; nothing was sent.
        """
        if self.confirmed(now_ns()):
            return
        self._confirmed.clear()
        try:
            async with asyncio.timeout(CONFIRM_WAIT_S):
                await listen(symbol)
                await self._confirmed.wait()
        except TimeoutError:
            told = self._reason(self._difference_ns) if self._against else "no new tick came to hold it against"
            raise OrderRefused(
                "CLOCK_UNCONFIRMED",
                f"the server's clock is not confirmed: {told}; nothing was sent. With an open market the next tick "
                f"confirms it: put a symbol that trades now into the Market Watch, or correct server_time "
                f"({self._clock.name})",
            ) from None

    def _confirm(self, at_ns: int) -> None:
        self._confirmed_ns = at_ns
        self._confirmed.set()

    def _reason(self, difference_ns: int, told: str = "fresh ticks are") -> str:
        hours = difference_ns / (3600 * NS)
        return (
            f"{told} {hours:+.2f} h off: the server's clock does not follow the rule {self._clock.name}, "
            "or the clock of the terminal's machine is wrong; set server_time in the settings"
        )

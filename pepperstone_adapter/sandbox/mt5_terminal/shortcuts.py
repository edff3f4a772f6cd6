"""`Buy`, `Sell` and `Close`: the few functions of the module that are Python around its calls.

As in the wheel: a deal with a deviation of 10 points and no filling mode (so fill-or-kill), sent up to ten times with the
newest price while the answer is a requote (10004) or "no prices" (10021). `Buy` and `Sell` fail with an AttributeError
where there is no tick, and `Close` with a TypeError where the positions cannot be read; neither is caught there.
"""

from typing import Any, Final

BUY, SELL = 0, 1
DONE: Final = 10009
ASK_AGAIN: Final = (10004, 10021)
TRIES: Final = 10
DEVIATION: Final = 10


class Shortcuts:
    """Mixed into the module."""

    def Buy(
        self, symbol: str, volume: float, price: float | None = None, *, comment: Any = None, ticket: Any = None
    ) -> Any:
        """The result of the last request; None when one could not be sent."""
        return self._deal(BUY, symbol, volume, price, comment, ticket)

    def Sell(
        self, symbol: str, volume: float, price: float | None = None, *, comment: Any = None, ticket: Any = None
    ) -> Any:
        """The result of the last request; None when one could not be sent."""
        return self._deal(SELL, symbol, volume, price, comment, ticket)

    def Close(self, symbol: str, *, comment: Any = None, ticket: Any = None) -> Any:
        """Close the positions of a symbol, or one by its ticket: True all of them, ``"Partially"`` some, False none,
        None when a request could not be sent."""
        module: Any = self
        positions = module.positions_get(ticket=ticket) if ticket is not None else module.positions_get(symbol=symbol)
        done = 0
        for position in positions:
            kind = SELL if position.type == BUY else BUY
            answer = None
            for _ in range(TRIES):
                tick = module.symbol_info_tick(symbol)
                if tick is None:
                    return None
                price = tick.bid if kind == SELL else tick.ask
                answer = self._raw(kind, symbol, position.volume, price, comment, position.ticket)
                if answer is None:
                    return None
                if answer.retcode not in ASK_AGAIN:
                    break
            done += answer is not None and answer.retcode == DONE
        if not done:
            return False
        return True if done == len(positions) else "Partially"

    def _deal(self, kind: int, symbol: str, volume: float, price: float | None, comment: Any, ticket: Any) -> Any:
        if price is not None:
            return self._raw(kind, symbol, volume, price, comment, ticket)
        module: Any = self
        answer = None
        for _ in range(TRIES):
            tick = module.symbol_info_tick(symbol)
            answer = self._raw(kind, symbol, volume, tick.ask if kind == BUY else tick.bid, comment, ticket)
            if answer is None or answer.retcode not in ASK_AGAIN:
                break
        return answer

    def _raw(self, kind: int, symbol: str, volume: float, price: float, comment: Any, ticket: Any) -> Any:
        module: Any = self
        request = {
            "action": module.TRADE_ACTION_DEAL,
            "symbol": symbol,
            "volume": volume,
            "type": kind,
            "price": price,
            "deviation": DEVIATION,
        }
        given = {"comment": comment, "position": ticket}
        return module.order_send(request | {name: value for name, value in given.items() if value is not None})

"""Prices to subscribers: one-sided spots, forming bars, depth.

A spot carries the side that changed (or both, by a switch); the first after subscribing is the last known price, also
when the market is closed. Bars of subscribed periods ride on spots (or, by a switch, on one of their own). Depth is a
book of quotes with ids; a change comes as new quotes and deleted ids, the first event is the whole book.
"""

from typing import TYPE_CHECKING

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.market import BidBar

if TYPE_CHECKING:
    from pepperstone_adapter.sandbox.ctrader_server.connection import Connection, Subscriptions
    from pepperstone_adapter.sandbox.ctrader_server.venue import Venue

_LEVEL_UNITS = 10_000_000  # wire volume of the best level; each further one holds as much again


class Spots:
    def __init__(self, venue: "Venue") -> None:
        self._venue = venue
        self._listeners: dict[str, list[tuple[Connection, int]]] = {}
        self._book: dict[str, dict[int, tuple[bool, int, int]]] = {}
        self._next_quote_id = 1

    def price(self, symbol: str, bid: int, ask: int, ts_ms: int) -> None:
        """Tell every subscriber of `symbol`."""
        listeners = self._listeners.get(symbol)
        if not listeners:
            return
        change: tuple[list[oa.DepthQuote], list[int]] | None = None
        for connection, account_id in tuple(listeners):
            subscriptions = connection.subscriptions.get(account_id)
            if connection.closed or subscriptions is None:
                listeners.remove((connection, account_id))
                continue
            self._tell(connection, account_id, subscriptions, symbol, bid, ask, ts_ms)
            if symbol in subscriptions.depth:
                change = change or self._depth_change(symbol, bid, ask)
                event = oa.DepthEvent(
                    ctidTraderAccountId=account_id,
                    symbolId=self._venue.directory.symbol_ids[symbol],
                    newQuotes=change[0],
                    deletedQuotes=change[1],
                )
                connection.send(event)

    def _tell(
        self,
        connection: "Connection",
        account_id: int,
        subscriptions: "Subscriptions",
        symbol: str,
        bid: int,
        ask: int,
        ts_ms: int,
    ) -> None:
        stamped = subscriptions.spots.get(symbol)
        if stamped is None:
            left = subscriptions.trailing_spots.get(symbol, 0)
            if not left:
                return
            subscriptions.trailing_spots[symbol] = left - 1
            stamped = False
        last = subscriptions.last_sides.get(symbol)
        event = oa.SpotEvent(ctidTraderAccountId=account_id, symbolId=self._venue.directory.symbol_ids[symbol])
        behaviour = self._venue.settings.behaviour
        both = behaviour.spots == "both_sides"
        if both or last is None or last[0] != bid:
            event.bid = bid
        if both or last is None or last[1] != ask:
            event.ask = ask
        periods = subscriptions.bars.get(symbol)
        has_price = event.HasField("bid") or event.HasField("ask")
        if not periods and not has_price:
            return
        subscriptions.last_sides[symbol] = (bid, ask)
        if stamped:
            event.timestamp = ts_ms
        events = [event]
        bars = [(self._venue.history[symbol].forming(period), period) for period in sorted(periods or ())]
        if bars and has_price and behaviour.bars_in_own_spot:
            own = oa.SpotEvent()
            own.CopyFrom(event)
            own.ClearField("bid")
            own.ClearField("ask")
            events.append(own)
        events[-1].trendbar.extend(trendbar(bar, period) for bar, period in bars if bar is not None)
        for spot in events:
            for _ in range(1 + behaviour.spot_repeats):
                connection.send(spot)

    # -- subscribing ------------------------------------------------------------------------------------------------

    def subscribe(self, connection: "Connection", account_id: int, symbol: str, *, stamped: bool) -> None:
        subscriptions = connection.subscriptions[account_id]
        subscriptions.spots[symbol] = stamped
        subscriptions.last_sides.pop(symbol, None)
        listeners = self._listeners.setdefault(symbol, [])
        if (connection, account_id) not in listeners:
            listeners.append((connection, account_id))

    def technical(self, connection: "Connection", account_id: int, symbol: str) -> None:
        """The last known price, right after the answer to a subscription."""
        subscriptions = connection.subscriptions.get(account_id)
        history = self._venue.history[symbol]
        if subscriptions is None or not history.tick_ms or not self._venue.settings.behaviour.technical_first_spot:
            return
        if symbol in subscriptions.spots and symbol not in subscriptions.last_sides:
            bid, ask, stamp = history.bids[-1], history.asks[-1], history.tick_ms[-1]
            self._tell(connection, account_id, subscriptions, symbol, bid, ask, stamp)

    def unsubscribe(self, connection: "Connection", account_id: int, symbol: str) -> None:
        subscriptions = connection.subscriptions[account_id]
        subscriptions.spots.pop(symbol, None)
        subscriptions.bars.pop(symbol, None)
        subscriptions.depth.discard(symbol)
        extra = self._venue.settings.behaviour.spots_after_unsubscribe
        if extra:
            subscriptions.trailing_spots[symbol] = extra
        else:
            self._listeners[symbol].remove((connection, account_id))

    # -- depth --------------------------------------------------------------------------------------------------------

    def depth_snapshot(self, connection: "Connection", account_id: int, symbol: str) -> None:
        """The whole book, as the first event of a depth subscription."""
        history = self._venue.history[symbol]
        if not history.tick_ms:
            return
        self._move(symbol, history.bids[-1], history.asks[-1])
        event = oa.DepthEvent(ctidTraderAccountId=account_id, symbolId=self._venue.directory.symbol_ids[symbol])
        for quote_id, (is_bid, price, size) in self._book[symbol].items():
            event.newQuotes.append(_depth_quote(quote_id, is_bid, price, size))
        connection.send(event)

    def _depth_change(self, symbol: str, bid: int, ask: int) -> tuple[list[oa.DepthQuote], list[int]]:
        """Move the book to a new quote; return what is new in it and the ids that are gone."""
        before = self._book.get(symbol, {})
        self._move(symbol, bid, ask)
        after = self._book[symbol]
        new = [_depth_quote(quote_id, *level) for quote_id, level in after.items() if before.get(quote_id) != level]
        return new, [quote_id for quote_id in before if quote_id not in after]

    def _move(self, symbol: str, bid: int, ask: int) -> None:
        """A ladder around the quote; a level that stays keeps its id, a new price gets a new one."""
        step = 10 ** (5 - min(5, self._venue.ledger.symbols[symbol].spec.digits))
        levels = self._venue.settings.behaviour.depth_levels
        wanted = [(True, bid - step * n, _LEVEL_UNITS * (n + 1)) for n in range(levels)]
        wanted += [(False, ask + step * n, _LEVEL_UNITS * (n + 1)) for n in range(levels)]
        known = {(is_bid, price): quote_id for quote_id, (is_bid, price, _) in self._book.get(symbol, {}).items()}
        book: dict[int, tuple[bool, int, int]] = {}
        for is_bid, price, size in wanted:
            quote_id = known.get((is_bid, price))
            if quote_id is None:
                quote_id = self._next_quote_id
                self._next_quote_id += 1
            book[quote_id] = (is_bid, price, size)
        self._book[symbol] = book


def _depth_quote(quote_id: int, is_bid: bool, price: int, size: int) -> oa.DepthQuote:
    if is_bid:
        return oa.DepthQuote(id=quote_id, size=size, bid=price)
    return oa.DepthQuote(id=quote_id, size=size, ask=price)


def trendbar(bar: BidBar, period: int | None = None) -> oa.Trendbar:
    """A bar as the wire codes it: low, and the others as distances above it. History leaves the period out."""
    message = oa.Trendbar(
        volume=bar.volume,
        low=bar.low,
        deltaOpen=bar.open - bar.low,
        deltaClose=bar.close - bar.low,
        deltaHigh=bar.high - bar.low,
        utcTimestampInMinutes=bar.minute,
    )
    if period is not None:
        message.period = period
    return message

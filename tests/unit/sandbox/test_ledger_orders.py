"""Orders against quotes: what fills, where, and in which order it is told."""

from decimal import Decimal as D

import pytest

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import DealEntry, DealReason, OrderStatus, OrderType, Side, TimeInForce
from pepperstone_adapter.broker.symbols import TradingMode
from pepperstone_adapter.sandbox.ledger import (
    EventKind,
    LedgerRules,
    Protect,
    Refusal,
    Refused,
    TicketScheme,
    TriggerMethod,
    violations,
)
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit.sandbox_ledger import ACCOUNT, Desk, at, btc, fx

NETTING = PositionMode.NETTING


def desk(**account: object) -> Desk:
    made = Desk(**account)
    made.quote("EURUSD", "1.10000", "1.10002")
    return made


def test_a_market_buy_fills_at_the_ask_and_a_sell_at_the_bid() -> None:
    d = desk()
    assert d.buy(10_000).average_price == D("1.10002")
    assert d.sell(10_000).average_price == D("1.10000")
    assert len(d.account.positions) == 2  # hedging: two tickets
    assert violations(d.ledger) == []


def test_recorded_sequence_of_a_protected_market_order() -> None:
    """Accepted with an empty position already numbered, filled, protective order by the server; then partial close."""
    d = Desk(btc(), opening_balance=D("51223998.09"), leverage=D(100))
    d.quote("BTCUSD", "85287.20", "85287.21")
    d.buy(1, "BTCUSD", protect=Protect(stop_distance=D("90.01"), profit_distance=D("100.01")), ref="a")
    d.quote("BTCUSD", "85219.06", "85219.07")
    d.close(5_000_001, "0.01", ref="b")
    events = d.ledger.events
    assert [(e.kind.value, e.by_server, e.ref) for e in events] == [
        ("accepted", False, "a"),
        ("filled", False, "a"),
        ("accepted", True, "a"),
        ("accepted", False, "b"),
        ("filled", False, "b"),
        ("replaced", True, "b"),
    ]
    created, filled, protective, _, closed, shrunk = events
    assert (created.position.position_id, created.position.units, created.position.status) == (5_000_001, 0, "created")
    assert filled.position.stop_loss is None  # levels appear only with their order
    # 85287.21 - 90.01 = 85197.20 and 85287.21 + 100.01 = 85387.22
    assert (protective.order.stop_price, protective.order.limit_price) == (D("85197.20"), D("85387.22"))
    assert protective.order.side is Side.SELL
    assert closed.deal.entry is DealEntry.OUT
    assert (shrunk.order.order_id, shrunk.order.units, shrunk.order.filled_units) == (6_000_002, D("0.99"), 0)


def test_a_stop_fills_at_the_worse_price_after_a_gap_and_a_limit_at_the_better_one() -> None:
    d = desk()
    stop = d.buy(10_000, type=OrderType.STOP, stop_price=D("1.10100"))
    limit = d.sell(10_000, type=OrderType.LIMIT, limit_price=D("1.10200"))
    d.quote("EURUSD", "1.10300", "1.10305")
    assert stop.average_price == D("1.10305")  # asked for 1.10100
    assert limit.average_price == D("1.10300")  # asked for 1.10200


def test_a_buy_stop_looks_at_the_ask_and_a_buy_limit_too() -> None:
    d = desk()
    stop = d.buy(10_000, type=OrderType.STOP, stop_price=D("1.10010"))
    d.quote("EURUSD", "1.10009", "1.10009")
    assert stop.status is OrderStatus.ACCEPTED
    d.quote("EURUSD", "1.10001", "1.10010")
    assert stop.status is OrderStatus.FILLED
    limit = d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09990"))
    d.quote("EURUSD", "1.09980", "1.09991")  # the bid is through, the ask is not
    assert limit.status is OrderStatus.ACCEPTED
    d.quote("EURUSD", "1.09980", "1.09990")
    assert limit.average_price == D("1.09990")


@pytest.mark.parametrize(
    ("method", "quotes", "fills_after"),
    [
        (TriggerMethod.TRADE, [("1.10009", "1.10012")], 1),
        (TriggerMethod.OPPOSITE, [("1.10009", "1.10012"), ("1.10010", "1.10012")], 2),
        (TriggerMethod.DOUBLE_TRADE, [("1.10005", "1.10012"), ("1.10000", "1.10005"), ("1.10005", "1.10012")], 0),
        (TriggerMethod.DOUBLE_TRADE, [("1.10005", "1.10012"), ("1.10005", "1.10013")], 2),
    ],
)
def test_trigger_methods(method: TriggerMethod, quotes: list[tuple[str, str]], fills_after: int) -> None:
    d = desk()
    stop = d.buy(10_000, type=OrderType.STOP, stop_price=D("1.10010"), protect=Protect(trigger=method))
    filled_at = 0
    for number, (bid, ask) in enumerate(quotes, start=1):
        d.quote("EURUSD", bid, ask)
        if stop.status is OrderStatus.FILLED and not filled_at:
            filled_at = number
    assert filled_at == fills_after


def test_a_stop_limit_rests_as_a_limit_when_the_market_has_gone_past_it() -> None:
    d = desk()
    order = d.buy(10_000, type=OrderType.STOP_LIMIT, stop_price=D("1.10100"), limit_price=D("1.10105"))
    d.quote("EURUSD", "1.10150", "1.10152")
    assert (order.triggered, order.status) == (True, OrderStatus.ACCEPTED)
    d.quote("EURUSD", "1.10100", "1.10103")
    assert order.average_price == D("1.10103")


def test_market_range_fills_within_its_points_or_is_cancelled() -> None:
    d = desk()
    inside = d.buy(10_000, type=OrderType.MARKET_RANGE, base_price=D("1.10000"), slippage_points=2)
    outside = d.buy(10_000, type=OrderType.MARKET_RANGE, base_price=D("1.10000"), slippage_points=1)
    assert inside.average_price == D("1.10002")
    assert (outside.status, outside.filled_units) == (OrderStatus.CANCELED, 0)


def test_time_in_force() -> None:
    d = desk()
    away = d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09000"), time_in_force=TimeInForce.IOC)
    assert away.status is OrderStatus.CANCELED
    until = d.buy(
        10_000, type=OrderType.LIMIT, limit_price=D("1.09000"), time_in_force=TimeInForce.GTD, expires_ns=at(60)
    )
    d.ledger.advance(at(59.9))
    assert until.status is OrderStatus.ACCEPTED
    d.ledger.advance(at(60))
    assert until.status is OrderStatus.EXPIRED
    assert d.last(EventKind.EXPIRED).ts_ns == at(60)
    day = d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09000"), time_in_force=TimeInForce.DAY)
    d.ledger.advance(at(14 * 3600 - 1))
    assert day.status is OrderStatus.ACCEPTED
    d.ledger.advance(at(14 * 3600))  # 22:00 UTC = 17:00 in New York
    assert day.status is OrderStatus.EXPIRED


def test_partial_fills_ioc_remainder_and_fok() -> None:
    d = desk()
    d.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=2))
    order = d.buy(10_000)
    assert (order.status, order.filled_units) == (OrderStatus.CANCELED, 8_000)
    assert [e.kind.value for e in d.ledger.events] == ["accepted", "partially_filled", "partially_filled", "canceled"]
    d.ledger.set_liquidity("EURUSD", Liquidity(D(4_000), fills_left=2))
    killed = d.buy(10_000, time_in_force=TimeInForce.FOK)
    assert (killed.status, killed.filled_units) == (OrderStatus.CANCELED, 0)
    d.ledger.set_liquidity("EURUSD", Liquidity(D(3_000)))
    assert d.buy(10_000).status is OrderStatus.FILLED  # 3,000 + 3,000 + 3,000 + 1,000
    assert len(d.account.deals) == 2 + 4
    assert violations(d.ledger) == []


def test_execution_delay_fills_at_the_price_of_then() -> None:
    d = Desk(rules=LedgerRules(execution_delay_ns=138_000_000))
    d.quote("EURUSD", "1.10000", "1.10002", 1)
    order = d.buy(10_000)
    assert d.ledger.next_due_ns() == at(1.138)
    d.quote("EURUSD", "1.10050", "1.10052", 1.1)
    d.ledger.advance(at(2))
    assert order.average_price == D("1.10052")
    assert d.account.deals[0].ts_ns == at(1.138)


def test_slippage_is_worse_only_and_repeats_from_the_seed() -> None:
    def prices(seed: int) -> list[D]:
        d = Desk(rules=LedgerRules(slippage_points_max=5, seed=seed))
        d.quote("EURUSD", "1.10000", "1.10002")
        return [d.buy(1_000).average_price or D(0) for _ in range(20)]

    assert prices(1) == prices(1) != prices(2)
    assert min(prices(1)) >= D("1.10002")
    assert max(prices(1)) <= D("1.10007")


# -- levels -----------------------------------------------------------------------------------------------------------


def test_stop_loss_of_a_long_is_hit_by_the_bid_and_fills_at_it() -> None:
    d = desk()
    d.buy(10_000, protect=Protect(stop_distance=D("0.00100")))
    d.quote("EURUSD", "1.09903", "1.09905")
    assert d.account.positions
    d.quote("EURUSD", "1.09890", "1.09893")  # stop at 1.09902
    deal = d.account.deals[-1]
    assert (deal.price, deal.reason, deal.entry) == (D("1.09890"), DealReason.STOP_LOSS, DealEntry.OUT)
    event = d.last(EventKind.FILLED)
    assert (event.by_server, event.ref, event.position.units, event.position.status) == (True, "", 0, "closed")
    assert event.order.type is OrderType.PROTECTION


def test_take_profit_of_a_short_is_hit_by_the_ask() -> None:
    d = desk()
    d.sell(10_000, protect=Protect(take_profit=D("1.09900")))
    d.quote("EURUSD", "1.09895", "1.09901")
    assert d.account.positions
    d.quote("EURUSD", "1.09890", "1.09899")
    assert (d.account.deals[-1].price, d.account.deals[-1].reason) == (D("1.09899"), DealReason.TAKE_PROFIT)


def test_a_trailing_stop_follows_and_never_goes_back() -> None:
    d = desk()
    d.buy(10_000, protect=Protect(stop_distance=D("0.00100"), trailing=True))
    position = next(iter(d.account.positions.values()))
    assert position.stop_loss == D("1.09902")
    d.quote("EURUSD", "1.10050", "1.10052")
    assert position.stop_loss == D("1.09950")
    d.quote("EURUSD", "1.10000", "1.10002")
    assert position.stop_loss == D("1.09950")
    assert d.told().count("trailed") == 1
    d.quote("EURUSD", "1.09950", "1.09952")
    assert d.account.deals[-1].reason is DealReason.STOP_LOSS
    assert d.last(EventKind.FILLED).order.trailing


def test_a_guaranteed_stop_fills_at_its_price() -> None:
    d = desk()
    d.buy(10_000, protect=Protect(stop_loss=D("1.09900"), guaranteed=True))
    d.quote("EURUSD", "1.09000", "1.09010")
    assert d.account.deals[-1].price == D("1.09900")


def test_amending_levels_replaces_both_and_clearing_cancels_their_order() -> None:
    d = desk()
    d.buy(10_000)
    ticket = next(iter(d.account.positions))
    d.ledger.protect(ACCOUNT, ticket, Protect(stop_loss=D("1.09900"), take_profit=D("1.10900")), at(2), ref="x")
    assert d.last(EventKind.ACCEPTED).ref == "x"
    d.ledger.protect(ACCOUNT, ticket, Protect(stop_loss=D("1.09950")), at(3))
    order = d.last(EventKind.REPLACED).order
    assert (order.stop_price, order.limit_price) == (D("1.09950"), None)
    d.ledger.protect(ACCOUNT, ticket, Protect(), at(4))
    assert d.last(EventKind.CANCELED).order.order_id == order.order_id
    with pytest.raises(Refused, match="Nothing to amend"):
        d.ledger.protect(ACCOUNT, ticket, Protect(), at(5))


def test_levels_on_the_wrong_side_are_refused_in_the_brokers_words() -> None:
    d = desk()
    d.buy(10_000)
    with pytest.raises(Refused) as caught:
        d.ledger.protect(ACCOUNT, 5_000_001, Protect(take_profit=D("1.09998")), at(2))
    assert caught.value.reason is Refusal.BAD_STOPS
    assert caught.value.text == (
        "New TP for BUY position should be >= current BID price. current BID: 1.10000, TP: 1.09998"
    )


def test_closing_a_position_cancels_its_protective_order() -> None:
    d = desk()
    d.buy(10_000, protect=Protect(stop_loss=D("1.09900")))
    d.close(5_000_001, 10_000)
    assert d.told()[-2:] == ["filled", "canceled"]
    assert not d.account.working


# -- netting, close-by, tickets ---------------------------------------------------------------------------------------


def test_netting_adds_at_the_weighted_price_reduces_and_turns_over() -> None:
    d = desk(mode=NETTING)
    d.buy(10_000)  # at 1.10002
    d.quote("EURUSD", "1.10030", "1.10032")
    d.buy(20_000)  # at 1.10032: (10 * 1.10002 + 20 * 1.10032) / 30 = 1.10022
    position = next(iter(d.account.positions.values()))
    assert (position.units, position.open_price) == (30_000, D("1.10022"))
    d.sell(50_000)  # closes 30,000 and opens 20,000 short at 1.10030
    assert (position.side, position.units, position.open_price) == (Side.SELL, 20_000, D("1.10030"))
    deal = d.account.deals[-1]
    # 30,000 * (1.10030 - 1.10022) = 2.40
    assert (deal.entry, deal.closed_units, deal.gross_profit) == (DealEntry.IN_OUT, 30_000, D("2.40"))
    assert len(d.account.positions) == 1
    assert violations(d.ledger) == []


def test_close_by_closes_two_tickets_against_each_other() -> None:
    d = desk()
    d.buy(30_000)  # 1.10002
    d.sell(10_000)  # 1.10000
    d.ledger.close_by(ACCOUNT, 5_000_001, 5_000_002, at(2))
    out = d.account.deals[-2:]
    assert [deal.entry for deal in out] == [DealEntry.OUT_BY, DealEntry.OUT_BY]
    # the long closes at the short's 1.10000: 10,000 * -0.00002 = -0.20; the short at its own price: nothing more
    assert [deal.gross_profit for deal in out] == [D("-0.20"), D("0.00")]
    assert {p.units for p in d.account.positions.values()} == {20_000}
    assert violations(d.ledger) == []


def test_tickets_can_be_shared_by_order_and_position() -> None:
    d = Desk(rules=LedgerRules(tickets=TicketScheme.ORDER_IS_POSITION, protection_orders=False))
    d.quote("EURUSD", "1.10000", "1.10002")
    order = d.buy(10_000, protect=Protect(stop_loss=D("1.09900")), magic=7, comment="c")
    assert order.position_id == order.order_id
    assert not d.account.working  # no order carries the level until it is hit
    d.quote("EURUSD", "1.09890", "1.09892")
    closing = d.account.orders[d.account.deals[-1].order_id]
    assert (closing.reason, closing.magic, closing.position_id) == (DealReason.STOP_LOSS, 7, order.order_id)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"units": "500"}, Refusal.BAD_VOLUME),
        ({"units": "1500"}, Refusal.BAD_VOLUME),
        ({"units": "20000000"}, Refusal.BAD_VOLUME),
        ({"units": "1000000"}, Refusal.NO_MONEY),
        ({"type": OrderType.LIMIT}, Refusal.BAD_PRICE),
        ({"type": OrderType.LIMIT, "limit_price": D("1.099001")}, Refusal.BAD_PRICE),
        ({"type": OrderType.LIMIT, "limit_price": D("NaN")}, Refusal.BAD_PRICE),
        ({"type": OrderType.STOP, "stop_price": D("1.09900")}, Refusal.BAD_PRICE),
        ({"type": OrderType.MARKET_RANGE}, Refusal.BAD_PRICE),
        ({"time_in_force": TimeInForce.GTD}, Refusal.BAD_EXPIRY),
        ({"expires_ns": at(-5)}, Refusal.BAD_EXPIRY),
        ({"protect": Protect(stop_loss=D("1.10010"))}, Refusal.BAD_STOPS),
        ({"protect": Protect(stop_distance=D("-1"))}, Refusal.BAD_STOPS),
        ({"position_id": 99}, Refusal.UNKNOWN_POSITION),
        ({"symbol": "NOPE"}, Refusal.UNKNOWN_SYMBOL),
    ],
)
def test_refusals_change_nothing(fields: dict[str, object], reason: Refusal) -> None:
    d = desk()
    before = len(d.ledger.events)
    with pytest.raises(Refused) as caught:
        d.buy(**{"units": "10000", **fields})  # type: ignore[arg-type]
    assert caught.value.reason is reason
    assert len(d.ledger.events) == before
    assert not d.account.orders


def test_stops_distance_exposure_modes_and_sessions() -> None:
    near = Desk(fx("EURUSD", stop_distance_points=50))
    near.quote("EURUSD", "1.10000", "1.10002")
    with pytest.raises(Refused, match="too_close"):
        near.buy(1_000, protect=Protect(stop_loss=D("1.09960")))
    near.buy(1_000, protect=Protect(stop_loss=D("1.09950")))

    capped = Desk(fx("EURUSD", max_exposure_units=D(15_000)))
    capped.quote("EURUSD", "1.10000", "1.10002")
    capped.buy(10_000)
    with pytest.raises(Refused, match="max_exposure"):
        capped.buy(10_000)

    only = Desk(fx("EURUSD", trading_mode=TradingMode.CLOSE_ONLY))
    only.quote("EURUSD", "1.10000", "1.10002")
    with pytest.raises(Refused, match="close_only"):
        only.buy(1_000)

    long_only = Desk(fx("EURUSD", short_selling=False))
    long_only.quote("EURUSD", "1.10000", "1.10002")
    with pytest.raises(Refused, match="short_not_allowed"):
        long_only.sell(1_000)


def test_a_closed_market_takes_no_market_order_and_sets_nothing_off() -> None:
    hours = TradingHours(zone="UTC", intervals=((86_400, 86_400 + 9 * 3_600),))  # Monday 00:00 to 09:00
    d = Desk(fx("EURUSD", hours=hours))
    d.quote("EURUSD", "1.10000", "1.10002", 1)
    pending = d.buy(10_000, type=OrderType.STOP, stop_price=D("1.10100"))
    d.quote("EURUSD", "1.10200", "1.10202", 3_600)  # 09:00: closed
    assert pending.status is OrderStatus.ACCEPTED
    with pytest.raises(Refused, match="market_closed"):
        d.buy(10_000)
    d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09000"))  # pending orders may be placed


def test_a_pending_order_without_money_is_rejected_when_it_fills() -> None:
    d = desk()
    order = d.buy(1_000_000, type=OrderType.STOP, stop_price=D("1.10100"))
    d.quote("EURUSD", "1.10100", "1.10102")
    assert (order.status, d.last(EventKind.REJECTED).error) == (OrderStatus.REJECTED, "no_money")


def test_amend_and_cancel_of_pending_orders() -> None:
    d = desk()
    order = d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09000"), ref="a")
    d.ledger.amend(ACCOUNT, order.order_id, at(2), limit_price=D("1.09100"), units=D(20_000), ref="b")
    assert (order.limit_price, order.units, d.last(EventKind.REPLACED).ref) == (D("1.09100"), 20_000, "b")
    with pytest.raises(Refused, match="bad_volume"):
        d.ledger.amend(ACCOUNT, order.order_id, at(2), units=D(1))
    d.ledger.amend(ACCOUNT, order.order_id, at(3), limit_price=D("1.10010"))  # through the market: fills
    assert order.status is OrderStatus.FILLED
    with pytest.raises(Refused, match="unknown_order"):
        d.ledger.cancel(ACCOUNT, order.order_id, at(4))
    other = d.buy(10_000, type=OrderType.LIMIT, limit_price=D("1.09000"))
    d.ledger.cancel(ACCOUNT, other.order_id, at(5), ref="c")
    gone = d.last(EventKind.CANCELED)
    assert (gone.ref, gone.position.status, gone.by_server) == ("c", "closed", False)


def test_an_order_whose_conversion_has_no_price_is_refused_whole() -> None:
    """A GBP account cannot value USDJPY without a price that leads to GBP; nothing may be half booked."""
    d = Desk(fx("USDJPY", 3), fx("GBPUSD"), currency="GBP")
    d.quote("USDJPY", "150.000", "150.003")
    with pytest.raises(Refused, match="no_quotes"):
        d.buy(1_000, "USDJPY")
    d.quote("GBPUSD", "1.27000", "1.27002")
    assert d.buy(1_000, "USDJPY").status is OrderStatus.FILLED
    assert violations(d.ledger) == []


def test_a_long_run_forgets_its_oldest_events() -> None:
    d = desk()
    order = d.buy(1_000, type=OrderType.LIMIT, limit_price=D("1.00000"))
    for n in range(100_010):
        d.ledger.state.emit(EventKind.REPLACED, ACCOUNT, at(2), order=order, ref=str(n))
    assert 50_000 <= len(d.ledger.events) < 100_000
    assert d.ledger.events[-1].ref == "100009"
    assert violations(d.ledger) == []

"""Orders over the wire: events, errors, lists, and what every connection of the account hears."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ledger import violations
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit.sandbox_wire import ACCOUNT, EURUSD, LOT, NETTED, Bench, MemoryLink, code, kinds, market

TENTH = LOT // 10


def pending(kind: Any, **fields: Any) -> oa.NewOrderReq:
    given = {"ctidTraderAccountId": ACCOUNT, "symbolId": EURUSD, "tradeSide": oa.TradeSide.BUY, "volume": TENTH}
    return oa.NewOrderReq(orderType=kind, **(given | fields))


def test_every_connection_hears_events_with_the_originators_id(bench: Bench, link: MemoryLink) -> None:
    other = bench.link().login()
    other.read()
    ref = link.send(market(relativeStopLoss=500))
    for heard in (link.read(), other.read()):
        assert kinds([d.message for d in heard]) == ["ORDER_ACCEPTED", "ORDER_FILLED", "ORDER_ACCEPTED"]
        assert {d.client_msg_id for d in heard} == {ref}


def test_follow_ups_may_lose_the_id(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"follow_ups_keep_id": False})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    link.read()
    ref = link.send(market())
    assert [d.client_msg_id for d in link.read()] == [ref, None]


def test_pending_orders_are_numbered_amended_and_cancelled(link: MemoryLink) -> None:
    accepted = link.ask(pending(oa.OrderType.LIMIT, limitPrice=1.09, stopLoss=1.08, takeProfit=1.11, label="s1"))
    assert accepted.position.positionStatus == oa.PositionStatus.POSITION_STATUS_CREATED
    assert (accepted.order.limitPrice, accepted.order.stopLoss, accepted.order.tradeData.label) == (1.09, 1.08, "s1")
    number = accepted.order.orderId
    replaced = link.ask(oa.AmendOrderReq(ctidTraderAccountId=ACCOUNT, orderId=number, limitPrice=1.095, stopLoss=1.09))
    assert kinds([replaced]) == ["ORDER_REPLACED"]
    assert (replaced.order.limitPrice, replaced.order.stopLoss) == (1.095, 1.09)
    assert not replaced.order.HasField("takeProfit")  # left out, so removed
    assert replaced.order.tradeData.volume == TENTH
    cancelled = link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=number))
    assert kinds([cancelled]) == ["ORDER_CANCELLED"]
    assert cancelled.position.positionStatus == oa.PositionStatus.POSITION_STATUS_CLOSED
    gone = link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=number))
    assert (code(gone), gone.orderId) == ("ORDER_NOT_FOUND", number)


def test_a_pending_fill_is_told_before_its_levels(bench: Bench, link: MemoryLink) -> None:
    link.ask(pending(oa.OrderType.STOP, stopPrice=1.101, stopLoss=1.09))
    link.read()
    bench.push("1.10150", "1.10152")
    filled, protective = link.messages()
    assert (kinds([filled]), filled.order.executionPrice, filled.isServerEvent) == (["ORDER_FILLED"], 1.10152, True)
    assert protective.order.orderType == oa.OrderType.STOP_LOSS_TAKE_PROFIT
    assert protective.order.stopPrice == 1.09


def test_a_stop_limit_gives_its_limit_as_points(bench: Bench, link: MemoryLink) -> None:
    accepted = link.ask(pending(oa.OrderType.STOP_LIMIT, stopPrice=1.101, slippageInPoints=5))
    assert accepted.order.slippageInPoints == 5
    assert not accepted.order.HasField("limitPrice")
    bench.push("1.10110", "1.10112")  # beyond 1.10105
    assert kinds(link.messages()) == []
    bench.push("1.10100", "1.10105")
    assert kinds(link.messages()) == ["ORDER_FILLED"]


def test_expiry(bench: Bench, link: MemoryLink) -> None:
    soon = bench.clock.now_ns() // 1_000_000 + 5_000
    link.ask(pending(oa.OrderType.LIMIT, limitPrice=1.09, expirationTimestamp=soon))
    bench.wait(5)
    (expired,) = link.messages()
    assert (kinds([expired]), expired.order.timeInForce) == (["ORDER_EXPIRED"], oa.TimeInForce.GOOD_TILL_DATE)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (market(volume=100), "TRADING_BAD_VOLUME"),
        (market(volume=150_000), "TRADING_BAD_VOLUME"),
        (market(volume=LOT * 50), "NOT_ENOUGH_MONEY"),
        (market(symbolId=9_999), "SYMBOL_NOT_FOUND"),
        (market(stopLoss=1.09), "INVALID_REQUEST"),
        (market(label="x" * 101), "INVALID_REQUEST"),
        (market(positionId=7), "POSITION_NOT_FOUND"),
        (pending(oa.OrderType.LIMIT), "TRADING_BAD_PRICES"),
        (pending(oa.OrderType.LIMIT, limitPrice=1.0900001), "TRADING_BAD_PRICES"),
        (pending(oa.OrderType.STOP, stopPrice=1.09), "TRADING_BAD_PRICES"),
        (pending(oa.OrderType.LIMIT, limitPrice=1.09, expirationTimestamp=1), "TRADING_BAD_EXPIRATION_DATE"),
        (pending(oa.OrderType.LIMIT, limitPrice=1.09, stopLoss=1.10), "TRADING_BAD_STOPS"),
        (oa.ClosePositionReq(ctidTraderAccountId=ACCOUNT, positionId=7, volume=TENTH), "POSITION_NOT_FOUND"),
        (oa.AmendPositionSLTPReq(ctidTraderAccountId=ACCOUNT, positionId=7, stopLoss=1.0), "POSITION_NOT_FOUND"),
        (oa.AmendOrderReq(ctidTraderAccountId=ACCOUNT, orderId=7), "ORDER_NOT_FOUND"),
        (oa.OrderDetailsReq(ctidTraderAccountId=ACCOUNT, orderId=7), "ORDER_NOT_FOUND"),
    ],
)
def test_refusals(request_: Any, expected: str, bench: Bench, link: MemoryLink) -> None:
    assert code(link.ask(request_)) == expected
    assert not bench.venue.ledger.accounts[ACCOUNT].working
    assert violations(bench.venue.ledger) == []


def test_a_position_that_is_not_found_names_no_ids(link: MemoryLink) -> None:
    refused = link.ask(oa.ClosePositionReq(ctidTraderAccountId=ACCOUNT, positionId=7, volume=TENTH))
    assert (refused.orderId, refused.positionId, refused.description) == (0, 0, "Position not found with id 7")


def test_a_new_order_on_a_position_closes_it(bench: Bench, link: MemoryLink) -> None:
    ticket = link.ask(market()).position.positionId
    link.read()
    link.send(market(side=oa.TradeSide.SELL, positionId=ticket, clientOrderId="close-1"))
    accepted, filled = link.messages()
    assert (accepted.order.closingOrder, accepted.order.clientOrderId) == (True, "close-1")
    assert filled.deal.HasField("closePositionDetail")
    assert not bench.venue.ledger.accounts[ACCOUNT].positions


def test_netted_accounts_hold_one_position_a_symbol(bench: Bench) -> None:
    link = bench.link().login(NETTED)
    link.ask(market(ctidTraderAccountId=NETTED))
    link.ask(market(ctidTraderAccountId=NETTED, side=oa.TradeSide.SELL, volume=3 * TENTH))
    filled = link.heard[-1].message
    assert (filled.position.tradeData.tradeSide, filled.position.tradeData.volume) == (oa.TradeSide.SELL, 2 * TENTH)
    assert filled.deal.closePositionDetail.closedVolume == TENTH
    assert len(link.ask(oa.ReconcileReq(ctidTraderAccountId=NETTED)).position) == 1


def test_lists_are_newest_first_and_paged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, behaviour={"list_page": 3}, limits={"enabled": False})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    for _ in range(5):
        bench.wait(1)
        link.ask(market(volume=100_000))
    window = {"ctidTraderAccountId": ACCOUNT, "fromTimestamp": 0, "toTimestamp": 2**41}
    page = link.ask(oa.DealListReq(**window))
    assert ([d.dealId for d in page.deal], page.hasMore) == ([7_000_005, 7_000_004, 7_000_003], True)
    older = link.ask(oa.DealListReq(**(window | {"toTimestamp": page.deal[-1].executionTimestamp - 1})))
    assert ([d.dealId for d in older.deal], older.hasMore) == ([7_000_002, 7_000_001], False)
    assert len(link.ask(oa.DealListReq(**window, maxRows=1)).deal) == 1
    orders = link.ask(oa.OrderListReq(**window))
    assert ([o.orderId for o in orders.order], orders.hasMore) == ([6_000_005, 6_000_004, 6_000_003], True)
    by_position = link.ask(oa.DealListByPositionIdReq(ctidTraderAccountId=ACCOUNT, positionId=5_000_002))
    assert [d.dealId for d in by_position.deal] == [7_000_002]
    details = link.ask(oa.OrderDetailsReq(ctidTraderAccountId=ACCOUNT, orderId=6_000_004))
    assert (details.order.orderId, [d.dealId for d in details.deal]) == (6_000_004, [7_000_004])
    wrong = oa.DealListReq(ctidTraderAccountId=ACCOUNT, fromTimestamp=2, toTimestamp=1)
    assert code(link.ask(wrong)) == "INCORRECT_BOUNDARIES"


@pytest.mark.parametrize(("meaning", "left"), [("total", 20_000), ("rest", 30_000)])
def test_an_amended_volume_after_a_partial_fill_is_the_total_or_the_rest(
    tmp_path: Path, meaning: str, left: int
) -> None:
    bench = Bench(tmp_path, behaviour={"amend_volume": meaning})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    bench.venue.ledger.set_liquidity("EURUSD", Liquidity(Decimal(10_000), fills_left=1))
    number = link.ask(pending(oa.OrderType.LIMIT, volume=5 * TENTH, limitPrice=1.09)).order.orderId
    bench.push("1.08900", "1.08902")
    assert "ORDER_PARTIAL_FILL" in kinds(link.messages())  # 10,000 of 50,000
    answer = link.ask(oa.AmendOrderReq(ctidTraderAccountId=ACCOUNT, orderId=number, volume=3 * TENTH, limitPrice=1.08))
    assert kinds([answer]) == ["ORDER_REPLACED"]
    bench.venue.ledger.set_liquidity("EURUSD", None)
    bench.push("1.07900", "1.07902")
    filled = link.messages()[0]
    assert (kinds([filled]), filled.deal.filledVolume) == (["ORDER_FILLED"], left * 100)
    # 10,000 of a total of 30,000 leaves 20,000; a rest of 30,000 is 30,000, of 40,000 in all
    assert filled.order.tradeData.volume == (10_000 + left) * 100


@pytest.mark.parametrize(
    ("rule", "answers"), [("take", ["ExecutionEvent"] * 2), ("refuse", ["ExecutionEvent", "ErrorRes"])]
)
def test_a_client_order_id_used_twice_is_taken_or_refused(tmp_path: Path, rule: str, answers: list[str]) -> None:
    bench = Bench(tmp_path, behaviour={"repeated_client_order_id": rule})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    assert [type(link.ask(market(clientOrderId="O-1"))).__name__ for _ in range(2)] == answers
    assert isinstance(link.ask(market(clientOrderId="O-2")), oa.ExecutionEvent)
    assert isinstance(link.ask(market()), oa.ExecutionEvent)  # none is no id
    assert isinstance(link.ask(market()), oa.ExecutionEvent)


@pytest.mark.parametrize("by", ["updated", "created"])
def test_the_order_list_filters_by_the_last_change_or_by_the_order_itself(tmp_path: Path, by: str) -> None:
    bench = Bench(tmp_path, behaviour={"order_list_time": by})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    number = link.ask(pending(oa.OrderType.LIMIT, limitPrice=1.09)).order.orderId
    created_ms = bench.clock.now_ns() // 1_000_000
    bench.wait(10)
    link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=number))

    def listed(first_ms: int, last_ms: int) -> list[int]:
        window = {"ctidTraderAccountId": ACCOUNT, "fromTimestamp": first_ms, "toTimestamp": last_ms}
        return [order.orderId for order in link.ask(oa.OrderListReq(**window)).order]

    then, now = listed(created_ms - 1, created_ms + 1), listed(created_ms + 9_000, created_ms + 11_000)
    assert (then, now) == (([], [number]) if by == "updated" else ([number], []))


def test_deal_offsets(link: MemoryLink) -> None:
    ticket = link.ask(market(volume=3 * TENTH)).position.positionId
    link.ask(oa.ClosePositionReq(ctidTraderAccountId=ACCOUNT, positionId=ticket, volume=TENTH))
    opening = link.ask(oa.DealOffsetListReq(ctidTraderAccountId=ACCOUNT, dealId=7_000_001))
    assert [(o.dealId, o.volume) for o in opening.offsetBy] == [(7_000_002, TENTH)]
    closing = link.ask(oa.DealOffsetListReq(ctidTraderAccountId=ACCOUNT, dealId=7_000_002))
    assert [(o.dealId, o.volume) for o in closing.offsetting] == [(7_000_001, TENTH)]


def test_profit_margin_and_account_reads(bench: Bench, link: MemoryLink) -> None:
    link.ask(market(volume=LOT))
    bench.push("1.10102", "1.10104")
    profit = link.ask(oa.GetPositionUnrealizedPnLReq(ctidTraderAccountId=ACCOUNT))
    # 100,000 * (1.10102 - 1.10002) = 100.00 ; one lot is charged 3.50
    row = profit.positionUnrealizedPnL[0]
    assert (row.grossUnrealizedPnL, row.netUnrealizedPnL, profit.moneyDigits) == (10_000, 9_650, 2)
    margin = link.ask(oa.ExpectedMarginReq(ctidTraderAccountId=ACCOUNT, symbolId=EURUSD, volume=[LOT]))
    # 100,000 * 1.10104 / 30 = 3670.13 ; 100,000 * 1.10102 / 30 = 3670.07
    assert (margin.margin[0].buyMargin, margin.margin[0].sellMargin) == (367_013, 367_007)
    bench.venue.ledger.cash(ACCOUNT, Decimal("250.00"), bench.clock.now_ns())
    deposit = link.messages()[-1]
    assert (kinds([deposit]), deposit.depositWithdraw.delta) == (["DEPOSIT_WITHDRAW"], 25_000)
    now_ms = bench.clock.now_ns() // 1_000_000
    flow = link.ask(
        oa.CashFlowHistoryListReq(ctidTraderAccountId=ACCOUNT, fromTimestamp=now_ms - 1, toTimestamp=now_ms)
    )
    assert flow.depositWithdraw[0].balance == 1_025_000
    calls = link.ask(oa.MarginCallListReq(ctidTraderAccountId=ACCOUNT)).marginCall
    assert [(c.marginCallType, c.marginLevelThreshold) for c in calls] == [(61, 100.0), (62, 90.0), (63, 70.0)]
    changed = oa.MarginCall(marginCallType=61, marginLevelThreshold=120.0)
    link.ask(oa.MarginCallUpdateReq(ctidTraderAccountId=ACCOUNT, marginCall=changed))
    calls = link.ask(oa.MarginCallListReq(ctidTraderAccountId=ACCOUNT)).marginCall
    assert calls[0].marginLevelThreshold == 120.0


def test_margin_call_and_stop_out_events(bench: Bench, link: MemoryLink) -> None:
    link.ask(market(volume=2 * LOT))  # 200,000 * 1.10002 / 30 = 7,333.47 of 10,000
    link.read()
    bench.push("1.08000", "1.08002")  # -4,004.00: equity 5,989.00 with the charge of 7.00, level 81.7 %
    calls = [m for m in link.messages() if isinstance(m, oa.MarginCallTriggerEvent)]
    assert [c.marginCall.marginLevelThreshold for c in calls] == [100.0, 90.0]
    bench.push("1.06500", "1.06502")  # -7,004.00: 2,989.00, 40.8 %
    events = [m for m in link.messages() if isinstance(m, oa.ExecutionEvent)]
    assert kinds(events) == ["ORDER_ACCEPTED", "ORDER_FILLED"]
    assert all(m.isServerEvent and m.order.isStopOut for m in events)


def test_a_trailing_stop_moves_without_an_execution_event(bench: Bench, link: MemoryLink) -> None:
    link.ask(market(relativeStopLoss=100, trailingStopLoss=True))
    link.read()
    bench.push("1.10050", "1.10052")
    (moved,) = link.messages()
    assert isinstance(moved, oa.TrailingSLChangedEvent)
    assert (moved.positionId, moved.stopPrice) == (5_000_001, 1.0995)


def test_a_changed_symbol_is_announced_and_served(bench: Bench, link: MemoryLink) -> None:
    from dataclasses import replace

    from pepperstone_adapter.broker.symbols import LeverageTier

    terms = bench.venue.ledger.symbols["EURUSD"]
    tiers = (
        LeverageTier(up_to_usd=Decimal(1_000), leverage=Decimal(20)),
        LeverageTier(up_to_usd=None, leverage=Decimal(5)),
    )
    spec = replace(terms.spec, volume_min=Decimal(5_000))
    bench.venue.ledger.change_symbol(replace(terms, spec=spec, tiers=tiers), bench.clock.now_ns())
    assert list(link.messages()[-1].symbolId) == [EURUSD]
    symbol = link.ask(oa.SymbolByIdReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD])).symbol[0]
    assert symbol.minVolume == 500_000
    found = link.ask(oa.GetDynamicLeverageByIDReq(ctidTraderAccountId=ACCOUNT, leverageId=symbol.leverageId))
    assert [(t.volume, t.leverage) for t in found.leverage.tiers] == [(100_000, 2_000), (10**15, 500)]
    assert code(link.ask(market(volume=400_000))) == "TRADING_BAD_VOLUME"


def test_the_withdrawn_pnl_subscription_by_switch(bench: Bench, link: MemoryLink, tmp_path: Path) -> None:
    request = oa.V1PnLChangeSubscribeReq(ctidTraderAccountId=ACCOUNT)
    assert code(link.ask(request)) == "UNSUPPORTED_MESSAGE"
    other = Bench(tmp_path / "v1", behaviour={"pnl_v1": True})
    other.push("1.10000", "1.10002")
    client = other.link().login()
    client.ask(market(volume=LOT))
    client.ask(request)
    client.read()
    other.wait(1)
    other.venue.second()
    (told,) = client.messages()
    assert (told.grossUnrealizedPnL, told.netUnrealizedPnL) == (-200, -550)  # 2.00 of spread, 3.50 charged


def test_a_question_without_prices_gets_a_plain_error(bench: Bench, link: MemoryLink) -> None:
    number = bench.venue.directory.symbol_ids["XAUUSD"]
    wanted = oa.ExpectedMarginReq(ctidTraderAccountId=ACCOUNT, symbolId=number, volume=[100])
    assert (type(link.ask(wanted)), code(link.ask(wanted))) == (oa.ErrorRes, "NO_QUOTES")
    assert code(link.ask(market(symbolId=number, volume=100))) == "NO_QUOTES"


def test_conversion_symbols_lead_from_one_asset_to_the_other(bench: Bench, link: MemoryLink) -> None:
    ids = bench.venue.directory.asset_ids
    found = link.ask(
        oa.SymbolsForConversionReq(ctidTraderAccountId=ACCOUNT, firstAssetId=ids["JPY"], lastAssetId=ids["GBP"])
    )
    assert [s.symbolName for s in found.symbol] == ["EURJPY", "EURGBP"]
    wrong = oa.SymbolsForConversionReq(ctidTraderAccountId=ACCOUNT, firstAssetId=1, lastAssetId=2)
    assert code(link.ask(wrong)) == "INVALID_REQUEST"


def test_assets_classes_and_categories_hang_together(link: MemoryLink) -> None:
    account = {"ctidTraderAccountId": ACCOUNT}
    classes = {c.id: c.name for c in link.ask(oa.AssetClassListReq(**account)).assetClass}
    categories = {c.id: c.assetClassId for c in link.ask(oa.SymbolCategoryListReq(**account)).symbolCategory}
    assets = {a.assetId: a.name for a in link.ask(oa.AssetListReq(**account)).asset}
    told = {
        s.symbolName: (assets[s.baseAssetId], assets[s.quoteAssetId], classes[categories[s.symbolCategoryId]])
        for s in link.ask(oa.SymbolsListReq(**account)).symbol
    }
    assert told["EURUSD"] == ("EUR", "USD", "Forex")
    assert told["XAUUSD"][2] == "Metals"
    assert told["GER40"][2] == "Indices"


def test_who_is_logged_out_hears_nothing_and_who_logs_in_again_hears_once(bench: Bench, link: MemoryLink) -> None:
    other = bench.link().login()
    bench.venue.disconnect_account(ACCOUNT)
    login = oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="sandbox-access")
    other.ask(login)
    link.read()
    other.ask(market())
    assert link.messages() == []
    link.ask(login)
    link.read()
    other.ask(market())
    assert kinds(link.messages()) == ["ORDER_ACCEPTED", "ORDER_FILLED"]

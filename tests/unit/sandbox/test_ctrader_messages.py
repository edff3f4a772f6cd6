"""The whole message set: every request is answered by its own response, and an older client can read each answer."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.ctrader_server.wire import HANDLERS
from tests.kit.sandbox_wire import ACCOUNT, EURUSD, LOT, T0_NS, Bench, MemoryLink, code, market

NOW_MS = T0_NS // 1_000_000
WEEK_MS = 604_800_000
RANGE = {"fromTimestamp": NOW_MS - WEEK_MS, "toTimestamp": NOW_MS}
#: Requests without a response of their own: what happened is told by events.
TRADING = {"NewOrderReq", "CancelOrderReq", "AmendOrderReq", "AmendPositionSLTPReq", "ClosePositionReq"}

# Reads what a sandbox said with the official client's own classes: the names of those that lack a required field.
OLDER = """
import json, sys
from ctrader_open_api.messages import OpenApiCommonMessages_pb2 as a, OpenApiMessages_pb2 as b
kinds = {}
for module in (a, b):
    for name, kind in module.DESCRIPTOR.message_types_by_name.items():
        field = kind.fields_by_name.get("payloadType")
        if field is not None and name != "ProtoMessage":
            kinds[field.default_value] = getattr(module, name)
lacking = []
for number, payload in json.load(sys.stdin):
    if number in kinds:
        message = kinds[number]()
        message.MergeFromString(bytes.fromhex(payload))
        if not message.IsInitialized():
            lacking.append([kinds[number].__name__, message.FindInitializationErrors()])
print(json.dumps([len(kinds), lacking]))
"""


def of(request: Any, **fields: Any) -> Any:
    """A request about the account."""
    return request(ctidTraderAccountId=ACCOUNT, **fields)


@pytest.fixture
def said(tmp_path: Path) -> dict[str, list[Any]]:
    """What was heard after each request, by its name: every one the server knows, asked in an order that makes sense."""
    bench = Bench(
        tmp_path,
        limits={"enabled": False},
        behaviour={
            "pnl_v1": True,
            "margin_changed_events": True,
            "trader_updated_events": True,
            "swap_events": True,
            "execution_delay_ms": 0,
        },
    )
    for step in range(3):
        bench.push(f"1.1000{step}", f"1.1000{step + 2}")
        bench.wait(60)
    link = bench.link()
    heard: dict[str, list[Any]] = {}

    def ask(request: Any, link: MemoryLink = link) -> list[Any]:
        link.send(request)
        bench.wait(1)
        answers = link.messages()
        heard.setdefault(type(request).__name__, []).extend(answers)
        return answers

    ask(oa.HeartbeatEvent())
    ask(oa.VersionReq())
    ask(oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"))
    ask(oa.GetAccountListByAccessTokenReq(accessToken="sandbox-access"))
    ask(oa.GetCtidProfileByTokenReq(accessToken="sandbox-access"))
    ask(of(oa.AccountAuthReq, accessToken="sandbox-access"))
    for plain in (oa.AssetListReq, oa.AssetClassListReq, oa.SymbolCategoryListReq, oa.SymbolsListReq, oa.TraderReq):
        ask(of(plain))
    (symbols,) = ask(of(oa.SymbolByIdReq, symbolId=[EURUSD]))
    (assets,) = heard["AssetListReq"]
    by_name = {asset.name: asset.assetId for asset in assets.asset}
    ask(of(oa.SymbolsForConversionReq, firstAssetId=by_name["EUR"], lastAssetId=by_name["JPY"]))
    ask(of(oa.GetDynamicLeverageByIDReq, leverageId=symbols.symbol[0].leverageId))
    ask(of(oa.ExpectedMarginReq, symbolId=EURUSD, volume=[LOT]))
    (calls,) = ask(of(oa.MarginCallListReq))
    ask(of(oa.MarginCallUpdateReq, marginCall=calls.marginCall[0]))
    # prices
    ask(of(oa.SubscribeSpotsReq, symbolId=[EURUSD]))
    ask(of(oa.SubscribeLiveTrendbarReq, symbolId=EURUSD, period=oa.TrendbarPeriod.M1))
    ask(of(oa.SubscribeDepthQuotesReq, symbolId=[EURUSD]))
    bench.push("1.10000", "1.10002")
    ask(
        of(
            oa.GetTrendbarsReq,
            symbolId=EURUSD,
            period=oa.TrendbarPeriod.M1,
            **RANGE | {"toTimestamp": NOW_MS + 120_000},
        )
    )
    ask(of(oa.GetTickDataReq, symbolId=EURUSD, type=oa.QuoteType.BID, **RANGE | {"toTimestamp": NOW_MS + 120_000}))
    ask(of(oa.UnsubscribeLiveTrendbarReq, symbolId=EURUSD, period=oa.TrendbarPeriod.M1))
    ask(of(oa.UnsubscribeDepthQuotesReq, symbolId=[EURUSD]))
    ask(of(oa.UnsubscribeSpotsReq, symbolId=[EURUSD]))
    # orders
    ask(of(oa.V1PnLChangeSubscribeReq))
    opened = ask(market(relativeStopLoss=500, clientOrderId="C-1"))
    (deal,) = [m.deal for m in opened if isinstance(m, oa.ExecutionEvent) and m.HasField("deal")]
    position, waiting = deal.positionId, {"orderType": oa.OrderType.LIMIT, "tradeSide": oa.TradeSide.BUY}
    ask(of(oa.AmendPositionSLTPReq, positionId=position, stopLoss=1.09, takeProfit=1.2, trailingStopLoss=True))
    bench.push("1.10050", "1.10052")
    ask(of(oa.GetPositionUnrealizedPnLReq))
    placed = ask(of(oa.NewOrderReq, symbolId=EURUSD, volume=LOT, limitPrice=1.05, **waiting))
    order = placed[0].order.orderId
    ask(of(oa.AmendOrderReq, orderId=order, limitPrice=1.06))
    ask(of(oa.ReconcileReq, returnProtectionOrders=True))
    ask(of(oa.CancelOrderReq, orderId=order))
    ask(of(oa.ClosePositionReq, positionId=position, volume=LOT // 20))
    ask(of(oa.V1PnLChangeUnsubscribeReq))
    recent = {"fromTimestamp": NOW_MS, "toTimestamp": NOW_MS + WEEK_MS}
    ask(of(oa.DealListReq, **recent))
    ask(of(oa.OrderListReq, **recent))
    ask(of(oa.DealListByPositionIdReq, positionId=position, **recent))
    ask(of(oa.OrderListByPositionIdReq, positionId=position, **recent))
    ask(of(oa.OrderDetailsReq, orderId=deal.orderId))
    ask(of(oa.DealOffsetListReq, dealId=deal.dealId))
    bench.venue.ledger.cash(ACCOUNT, Decimal(100), bench.clock.now_ns())
    ask(of(oa.CashFlowHistoryListReq, **recent))
    ask(of(oa.AccountLogoutReq))
    ask(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))
    return heard


def test_every_request_of_the_schema_is_answered_by_its_own_response(said: dict[str, list[Any]]) -> None:
    known = {name for number, kind in openapi.PAYLOAD.items() if (name := kind.__name__).endswith("Req")}
    assert {openapi.name(number) for number in HANDLERS} == known | {"HeartbeatEvent"}
    assert set(said) == known | {"HeartbeatEvent"}
    for name, answers in said.items():
        kinds = [type(answer).__name__ for answer in answers]
        refused = [(type(m).__name__, code(m)) for m in answers if hasattr(m, "errorCode") and code(m)]
        assert refused == [], name
        if name == "HeartbeatEvent":
            assert kinds == []
        else:
            assert ("ExecutionEvent" if name in TRADING else name.removesuffix("Req") + "Res") in kinds, (name, kinds)


def test_an_older_client_finds_every_field_it_requires(said: dict[str, list[Any]]) -> None:
    told = [m for answers in said.values() for m in answers]
    assert {type(m).__name__ for m in told} >= {"SpotEvent", "DepthEvent", "ExecutionEvent", "MarginCallUpdateEvent"}
    sent = json.dumps([(openapi.payload_type(m), m.SerializeToString().hex()) for m in told])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OLDER], input=sent, capture_output=True, check=True, text=True
    )
    known, lacking = json.loads(done.stdout)
    assert known > 80
    assert lacking == []

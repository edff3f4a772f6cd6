"""Our schema is the venue's: proved against the official client's own descriptors and the recordings."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa

DATA = Path(__file__).parents[2] / "data" / "ctrader"

# The official client is met in another process only: its messages live in the default pool and it brings a reactor.
DUMP = """
import json
from ctrader_open_api.messages import OpenApiCommonMessages_pb2 as a, OpenApiCommonModelMessages_pb2 as b
from ctrader_open_api.messages import OpenApiMessages_pb2 as c, OpenApiModelMessages_pb2 as d
def label(f): return "repeated" if f.is_repeated else "required" if f.is_required else "optional"
def kind(f):
    t = f.message_type or f.enum_type
    return t.name if t else f.type
def default(f): return f.default_value if f.has_default_value else None
print(json.dumps({
    "messages": {n: [[f.name, f.number, kind(f), label(f), default(f), f.is_packed] for f in m.fields]
        for x in (a, b, c, d) for n, m in x.DESCRIPTOR.message_types_by_name.items()},
    "enums": {n: {v.name: v.number for v in e.values}
        for x in (a, b, c, d) for n, e in x.DESCRIPTOR.enum_types_by_name.items()},
}))
"""
OUR_NAME = {
    "ProtoMessage": "Envelope",
    "ProtoErrorRes": "CommonErrorRes",
    "ProtoHeartbeatEvent": "HeartbeatEvent",
    "ProtoErrorCode": "CommonErrorCode",
}
# Fields of messages tag 91 that the official client (built from an older tag) does not have: number, type.
NEWER = {
    "ErrorRes.retryAfter": (6, FieldDescriptor.TYPE_UINT64),
    "GetTrendbarsRes.hasMore": (7, FieldDescriptor.TYPE_BOOL),
    "ReconcileReq.returnProtectionOrders": (3, FieldDescriptor.TYPE_BOOL),
    "TradeData.measurementUnits": (8, FieldDescriptor.TYPE_STRING),
    "TradeData.closeTimestamp": (9, FieldDescriptor.TYPE_UINT64),
    "Symbol.measurementUnits": (40, FieldDescriptor.TYPE_STRING),
    "Trader.fairStopOut": (21, FieldDescriptor.TYPE_BOOL),
    "Trader.stopOutStrategy": (22, FieldDescriptor.TYPE_ENUM),
    "CtidTraderAccount.brokerTitleShort": (6, FieldDescriptor.TYPE_STRING),
    "LightSymbol.sortingNumber": (8, FieldDescriptor.TYPE_DOUBLE),
    "SymbolCategory.sortingNumber": (4, FieldDescriptor.TYPE_DOUBLE),
    "AssetClass.sortingNumber": (3, FieldDescriptor.TYPE_DOUBLE),
}
# Required in the official client's tag, optional in tag 91.
RELAXED = {
    f"{message}.{field}"
    for message in ("DealListReq", "OrderListReq", "GetTrendbarsReq", "GetTickDataReq", "DealListByPositionIdReq")
    for field in ("fromTimestamp", "toTimestamp")
} | {"GetTrendbarsRes.timestamp"}
# Same wire form, other declared type or label in tag 91: (official, ours).
CHANGED = {
    "DealListByPositionIdRes.hasMore": (
        (FieldDescriptor.TYPE_INT64, "optional"),
        (FieldDescriptor.TYPE_BOOL, "required"),
    ),
    "PositionUnrealizedPnL.netUnrealizedPnL": (
        (FieldDescriptor.TYPE_INT32, "required"),
        (FieldDescriptor.TYPE_INT64, "required"),
    ),
}
NEWER_ENUM_VALUES = {
    "SwapCalculationType": {"POINTS": 2},
    "ErrorCode": {"RET_NO_SUCH_LOGIN": 12, "RET_ACCOUNT_DISABLED": 64, "NOT_SUBSCRIBED_TO_PNL": 137},
    "StopOutStrategy": {"MOST_MARGIN_USED_FIRST": 0, "MOST_LOSING_FIRST": 1},
}
NEWER_MESSAGES = {
    f"V1PnLChange{end}" for end in ("Event", "SubscribeReq", "SubscribeRes", "UnsubscribeReq", "UnsubscribeRes")
}


def our_name(official: str) -> str:
    return OUR_NAME.get(official, official.removeprefix("ProtoOA"))


def label(field: FieldDescriptor) -> str:
    return "repeated" if field.is_repeated else "required" if field.is_required else "optional"


@pytest.fixture(scope="module")
def official() -> dict:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DUMP], capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def descriptor(name: str) -> Descriptor:
    return getattr(oa, name).DESCRIPTOR


def our_messages() -> set[str]:
    return {name for name in oa.__all__ if hasattr(getattr(oa, name), "DESCRIPTOR")}


def test_every_official_message_is_ours_and_no_other_exists(official: dict) -> None:
    assert our_messages() == {our_name(name) for name in official["messages"]} | NEWER_MESSAGES


def test_every_official_field_has_our_number_type_label_and_default(official: dict) -> None:
    seen: set[str] = set()
    for official_name, fields in official["messages"].items():
        name = our_name(official_name)
        ours = {field.name: field for field in descriptor(name).fields}
        for field_name, number, kind, official_label, default, packed in fields:
            key, field = f"{name}.{field_name}", ours.pop(field_name)
            assert field.number == number, key
            assert field.is_packed == packed, key
            composite = field.message_type or field.enum_type
            our_kind = composite.name if composite else field.type
            if key in CHANGED:
                assert CHANGED[key] == ((kind, official_label), (our_kind, label(field))), key
                seen.add(key)
                continue
            if field_name == "payloadType":
                assert our_kind == (kind if name == "Envelope" else "PayloadType"), key
            else:
                assert our_kind == (our_name(kind) if isinstance(kind, str) else kind), key
            if key in RELAXED:
                assert (official_label, label(field)) == ("required", "optional"), key
                seen.add(key)
            else:
                assert label(field) == official_label, key
            assert (field.default_value if field.has_default_value else None) == default, key
        for field_name, field in ours.items():  # what is left over on our side
            key = f"{name}.{field_name}"
            assert NEWER[key] == (field.number, field.type), key
            assert label(field) == "optional"
            seen.add(key)
    assert seen == set(NEWER) | RELAXED | set(CHANGED), "a listed difference no longer exists"


def test_every_official_enumeration_value_is_ours(official: dict) -> None:
    for official_name, values in official["enums"].items():
        if official_name in ("ProtoPayloadType", "ProtoOAPayloadType"):
            continue
        name = our_name(official_name)
        expected = values | NEWER_ENUM_VALUES.get(name, {})
        assert {member.name: member.value for member in getattr(oa, name).__members__.values()} == expected, name


def test_payload_type_numbers_are_the_official_ones(official: dict) -> None:
    numbers = {}
    for official_name, fields in official["messages"].items():
        for field_name, _number, _kind, _label, default, _packed in fields:
            if field_name == "payloadType" and default is not None:
                numbers[our_name(official_name)] = default
    assert len(numbers) == 91
    assert {cls.DESCRIPTOR.name: n for n, cls in openapi.PAYLOAD.items() if n < 2189} == numbers
    assert {n: cls.DESCRIPTOR.name for n, cls in openapi.PAYLOAD.items() if n >= 2189} == {
        2189: "V1PnLChangeEvent",
        2190: "V1PnLChangeSubscribeReq",
        2191: "V1PnLChangeSubscribeRes",
        2192: "V1PnLChangeUnsubscribeReq",
        2193: "V1PnLChangeUnsubscribeRes",
    }


def test_every_message_declares_its_own_payload_type_as_default() -> None:
    for number, cls in openapi.PAYLOAD.items():
        assert cls.DESCRIPTOR.fields_by_name["payloadType"].default_value == number


def test_our_schema_and_the_official_one_live_in_one_process() -> None:
    code = (
        "from pepperstone_adapter import openapi\n"
        "from ctrader_open_api.messages.OpenApiMessages_pb2 import ProtoOASpotEvent\n"
        "from pepperstone_adapter.openapi import messages as oa\n"
        "theirs = ProtoOASpotEvent(ctidTraderAccountId=7, symbolId=1, bid=112345)\n"
        "ours = oa.SpotEvent.FromString(theirs.SerializeToString())\n"
        "assert (ours.ctidTraderAccountId, ours.symbolId, ours.bid) == (7, 1, 112345)\n"
        "assert ours.SerializeToString() == theirs.SerializeToString()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)


def recordings() -> list[tuple[str, str, dict]]:
    rows = []
    for path in sorted(DATA.glob("*.jsonl")):
        rows += [(path.stem, row["note"], row) for row in map(json.loads, path.read_text().splitlines())]
    return rows


@pytest.mark.parametrize(
    ("stem", "note", "row"), recordings(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_recorded_message_comes_out_as_the_same_bytes(stem: str, note: str, row: dict) -> None:
    raw = base64.b64decode(row["payload"])
    cls = openapi.message(row["type"])
    assert cls is not None
    parsed = cls.FromString(raw)
    assert parsed.IsInitialized()
    assert parsed.SerializeToString() == raw


def recorded(note: str) -> object:
    for _, text, row in recordings():
        if text == note:
            return openapi.PAYLOAD[row["type"]].FromString(base64.b64decode(row["payload"]))
    raise AssertionError(note)


def test_recorded_fill_holds_the_hand_checked_values() -> None:
    event = recorded("filled")
    assert isinstance(event, oa.ExecutionEvent)
    assert event.executionType == oa.ExecutionType.ORDER_FILLED
    assert (event.deal.dealId, event.deal.orderId, event.deal.positionId) == (7000001, 6000001, 5000001)
    assert (event.deal.volume, event.deal.filledVolume) == (100, 100)  # 1.00 BTC in hundredths of a unit
    assert event.deal.executionPrice == 85287.21
    assert (event.deal.commission, event.deal.moneyDigits) == (-2772, 2)  # -27.72
    assert event.order.relativeStopLoss == 9001000  # 90.01 in 1/100000
    assert not event.position.HasField("stopLoss")  # levels come with the protective order, after the fill


def test_recorded_partial_close_adds_up() -> None:
    event = recorded("partial close: filled, deal with close detail")
    assert isinstance(event, oa.ExecutionEvent)
    detail = event.deal.closePositionDetail
    # balance before 51,223,998.09; gross -0.68, swap 0, commission -0.56 (both sides), fee 0
    assert 5122399809 + detail.grossProfit + detail.swap + detail.commission + detail.pnlConversionFee == 5122399685
    assert (detail.balance, detail.balanceVersion, detail.closedVolume) == (5122399685, 4, 1)
    assert event.deal.commission == -28


def test_recorded_symbols_and_bars_hold_the_hand_checked_values() -> None:
    symbols = recorded("full symbol specifications of the same four")
    assert isinstance(symbols, oa.SymbolByIdRes)
    gold, _, _, euro = symbols.symbol
    assert (gold.symbolId, gold.digits, gold.pipPosition, gold.lotSize) == (41, 2, 0, 10_000)
    assert (euro.symbolId, euro.digits, euro.pipPosition, euro.lotSize) == (1, 5, 4, 10_000_000)
    assert euro.preciseTradingCommissionRate == 250_000_000  # 2.50 USD a lot and side
    assert openapi.unknown_numbers(gold) == (41,)  # a field beyond the published schema
    bars = recorded("EURUSD M15 trendbars")
    assert isinstance(bars, oa.GetTrendbarsRes)
    first = bars.trendbar[0]
    assert (first.low, first.deltaOpen, first.deltaClose, first.deltaHigh) == (114791, 22, 35, 44)
    assert not first.HasField("period")  # reads as M1, which it is not
    assert bars.period == oa.TrendbarPeriod.M15
    assert bars.hasMore


def test_recorded_trader_holds_the_hand_checked_values() -> None:
    trader = recorded("trader snapshot at start")
    assert isinstance(trader, oa.TraderRes)
    assert (trader.trader.balance, trader.trader.moneyDigits, trader.trader.balanceVersion) == (5122399809, 2, 3)
    assert trader.trader.leverageInCents == 10_000


def test_recorded_levels_follow_the_amends_and_the_partial_close() -> None:
    """One position of 1.00 at 85287.21 through its protective order: 90.01 below and 100.01 above, then by hand."""
    shell, answer = recorded("position levels amended"), recorded("reconcile, returnProtectionOrders=false")
    assert isinstance(shell, oa.ExecutionEvent)
    assert isinstance(answer, oa.ReconcileRes)
    (position,) = answer.position
    assert len(answer.order) == 0  # protective orders come only where they are asked for
    assert (position.stopLoss, position.takeProfit) == (85197.2, 85387.22)  # 85287.21 - 90.01, 85287.21 + 100.01
    assert (position.usedMargin, position.commission) == (2_561_178, -2_772)  # 25,611.78 and 27.72
    assert (shell.executionType, shell.isServerEvent) == (oa.ExecutionType.ORDER_REPLACED, False)
    assert (shell.order.stopPrice, shell.order.limitPrice) == (85200.2, 85387.22)
    assert (shell.position.stopLoss, shell.position.takeProfit) == (85200.2, 85387.22)

    asked = recorded("partial close of 0.01 of 1.00: accepted")
    shrunk = recorded("protective order shrinks with the position")
    assert isinstance(asked, oa.ExecutionEvent)
    assert isinstance(shrunk, oa.ExecutionEvent)
    assert (asked.order.orderId, asked.order.closingOrder, asked.order.tradeData.volume) == (6_000_003, True, 1)
    assert (asked.order.tradeData.tradeSide, asked.position.tradeData.volume) == (oa.TradeSide.SELL, 100)
    assert shrunk.order.tradeData.volume == shrunk.position.tradeData.volume == 100 - 1
    assert shrunk.position.commission == -2_772 + 28  # a hundredth of it went with the closed part
    assert shrunk.position.usedMargin == round(2_561_178 * 0.99)
    assert (shrunk.order.orderId, shrunk.isServerEvent) == (6_000_002, True)


def test_recorded_stop_hit_and_the_balance_after_it_add_up() -> None:
    event, end = recorded("stop loss hit, position closed"), recorded("trader snapshot at end")
    assert isinstance(event, oa.ExecutionEvent)
    assert isinstance(end, oa.TraderRes)
    detail = event.deal.closePositionDetail
    assert (event.deal.executionPrice, detail.entryPrice, detail.closedVolume) == (85205.58, 85287.21, 99)
    assert detail.grossProfit == round((85205.58 - 85287.21) * 0.99 * 100)  # -80.81
    assert detail.commission == -2_744 - 2_741  # what the opening had left, and this side's
    assert 5_122_399_685 + detail.grossProfit + detail.commission == detail.balance == 5_122_386_119
    assert (
        (end.trader.balance, end.trader.balanceVersion)
        == (detail.balance, detail.balanceVersion)
        == (detail.balance, 5)
    )
    assert (event.order.stopPrice, event.order.trailingStopLoss) == (85206.2, True)  # filled 0.62 below
    assert (event.position.positionStatus, event.position.tradeData.volume) == (
        oa.PositionStatus.POSITION_STATUS_CLOSED,
        0,
    )


def test_recorded_light_symbols_hold_the_hand_checked_values() -> None:
    listed = recorded("light symbols: XAUUSD 41, US100.cash 275, GER40.cash 279, EURUSD 1")
    assert isinstance(listed, oa.SymbolsListRes)
    assert [(s.symbolId, s.symbolName, s.symbolCategoryId, s.quoteAssetId) for s in listed.symbol] == [
        (41, "XAUUSD", 9, 15),
        (275, "US100.cash", 13, 15),
        (279, "GER40.cash", 13, 5),
        (1, "EURUSD", 11, 15),
    ]
    assert all(s.enabled for s in listed.symbol)

"""Switches of the server in both positions, on the wire: what is said, in which order, and with which code."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.behaviour import BehaviourSettings, ErrorCodes
from pepperstone_adapter.sandbox.ledger import Refusal
from tests.kit.sandbox_wire import ACCOUNT, EURUSD, LOT, Bench, MemoryLink, code, kinds, market

FOREVER_MS = 2**41


def scene(folder: Path, limits: dict[str, Any] | None = None, **behaviour: Any) -> tuple[Bench, MemoryLink]:
    bench = Bench(folder, behaviour=behaviour, limits=limits or {"enabled": False})
    bench.push("1.10000", "1.10002")
    link = bench.link().login()
    link.read()
    return bench, link


def executions(bench: Bench, link: MemoryLink, message: Any) -> list[Any]:
    link.send(message)
    return [m for m in link.messages() if isinstance(m, oa.ExecutionEvent)]


@pytest.mark.parametrize(
    ("switches", "opened", "reduced"),
    [
        (
            {},
            ["ORDER_ACCEPTED", "ORDER_FILLED", "level ACCEPTED"],
            ["ORDER_ACCEPTED", "ORDER_FILLED", "level REPLACED"],
        ),
        (
            {"acceptance": "after_fill"},
            ["ORDER_FILLED", "ORDER_ACCEPTED", "level ACCEPTED"],
            ["ORDER_FILLED", "ORDER_ACCEPTED", "level REPLACED"],
        ),
        ({"acceptance": "left_out"}, ["ORDER_FILLED", "level ACCEPTED"], ["ORDER_FILLED", "level REPLACED"]),
        (
            {"protection_events": "before_fill"},
            ["ORDER_ACCEPTED", "level ACCEPTED", "ORDER_FILLED"],
            ["ORDER_ACCEPTED", "level REPLACED", "ORDER_FILLED"],
        ),
        (
            {"replaced_after_partial_close": False},
            ["ORDER_ACCEPTED", "ORDER_FILLED", "level ACCEPTED"],
            ["ORDER_ACCEPTED", "ORDER_FILLED"],
        ),
    ],
)
def test_the_order_of_events(tmp_path: Path, switches: dict[str, Any], opened: list[str], reduced: list[str]) -> None:
    bench, link = scene(tmp_path, **switches)

    def told(message: Any) -> list[str]:
        events = executions(bench, link, message)
        levels = [e.order.orderType == oa.OrderType.STOP_LOSS_TAKE_PROFIT for e in events]
        return [k.replace("ORDER_", "level ") if level else k for k, level in zip(kinds(events), levels, strict=True)]

    assert told(market(relativeStopLoss=500, volume=LOT)) == opened
    (ticket,) = bench.venue.ledger.accounts[ACCOUNT].positions
    close = oa.ClosePositionReq(ctidTraderAccountId=ACCOUNT, positionId=ticket, volume=LOT // 4)
    assert told(close) == reduced


@pytest.mark.parametrize(("carried", "wanted"), [(True, [True, True]), (False, [False, True])])
def test_an_order_without_a_fill_carries_an_empty_position_or_none(
    tmp_path: Path, carried: bool, wanted: list[bool]
) -> None:
    bench, link = scene(tmp_path, empty_positions=carried)
    accepted, filled = executions(bench, link, market())
    assert [e.HasField("position") for e in (accepted, filled)] == wanted
    assert [e.order.HasField("positionId") for e in (accepted, filled)] == wanted


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("changed", ["TrailingSLChangedEvent"]),
        ("replaced", ["ExecutionEvent"]),
        ("both", ["TrailingSLChangedEvent", "ExecutionEvent"]),
    ],
)
def test_how_a_trailing_stop_is_told_to_have_moved(tmp_path: Path, how: str, wanted: list[str]) -> None:
    bench, link = scene(tmp_path, trailing_events=how)
    link.send(market(relativeStopLoss=100, trailingStopLoss=True))
    link.read()
    bench.push("1.10050", "1.10052")
    told = link.messages()
    assert [type(m).__name__ for m in told] == wanted
    stop = told[-1].order.stopPrice if wanted[-1] == "ExecutionEvent" else told[-1].stopPrice
    assert stop == 1.0995  # 0.00100 below the bid


@pytest.mark.parametrize("flagged", [True, False])
def test_a_stop_out_is_flagged_or_not(tmp_path: Path, flagged: bool) -> None:
    bench, link = scene(tmp_path, stop_out_flag=flagged)
    link.send(market(volume=2 * LOT))
    link.read()
    bench.push("1.06500", "1.06502")
    events = [m for m in link.messages() if isinstance(m, oa.ExecutionEvent)]
    assert [m.order.isStopOut for m in events] == [flagged, flagged]


@pytest.mark.parametrize("by_server", [True, False])
def test_the_fill_of_a_pending_order_is_the_servers_deed_or_not(tmp_path: Path, by_server: bool) -> None:
    bench, link = scene(tmp_path, pending_fill_by_server=by_server)
    stop = {"orderType": oa.OrderType.STOP, "tradeSide": oa.TradeSide.BUY, "stopPrice": 1.101}
    link.ask(oa.NewOrderReq(ctidTraderAccountId=ACCOUNT, symbolId=EURUSD, volume=LOT // 10, **stop))
    link.read()
    bench.push("1.10150", "1.10152")
    (filled,) = link.messages()
    assert (kinds([filled]), filled.isServerEvent) == (["ORDER_FILLED"], by_server)


@pytest.mark.parametrize(("silence_s", "calls"), [(600.0, 1), (0.0, 2)])
def test_margin_calls_keep_silent_for_a_while(tmp_path: Path, silence_s: float, calls: int) -> None:
    bench, link = scene(tmp_path, margin_call_silence_s=silence_s)
    link.send(market(volume=2 * LOT))  # 7,333.47 of margin
    for bid in ("1.07900", "1.07800"):  # equity 10,000 - 7.00 - 4,204 and - 4,404: 79 and 76 %, above 70
        bench.push(bid, "1.08002")
    told = [m for m in link.messages() if isinstance(m, oa.MarginCallTriggerEvent)]
    assert [c.marginCall.marginLevelThreshold for c in told] == [100.0, 90.0] * calls


REFUSED = market(volume=1)  # far below the least


@pytest.mark.parametrize(
    ("how", "of_order", "of_cancel"),
    [
        ("order_error", oa.OrderErrorEvent, oa.OrderErrorEvent),
        ("execution", oa.ExecutionEvent, oa.OrderErrorEvent),  # nothing is known of the order to be cancelled
        ("error", oa.ErrorRes, oa.ErrorRes),
    ],
)
def test_how_an_order_is_refused(tmp_path: Path, how: str, of_order: type[Any], of_cancel: type[Any]) -> None:
    _, link = scene(tmp_path, order_refusals=how)
    refused = link.ask(REFUSED)
    assert (type(refused), code(refused)) == (of_order, "TRADING_BAD_VOLUME")
    gone = link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=9))
    assert (type(gone), code(gone)) == (of_cancel, "ORDER_NOT_FOUND")


def test_a_refused_cancel_as_an_execution_event(tmp_path: Path) -> None:
    _, link = scene(tmp_path, order_refusals="execution")
    filled = link.ask(market()).order.orderId
    refused = link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=filled))
    assert (kinds([refused]), refused.order.orderId) == (["ORDER_CANCEL_REJECTED"], filled)


def test_a_market_order_that_fails_late_carries_the_wire_code(tmp_path: Path) -> None:
    bench, link = scene(tmp_path, execution_delay_ms=100.0)
    link.send(market(volume=2 * LOT))
    link.send(market(volume=2 * LOT))  # enough money for either, not for both
    bench.wait(0.2)
    rejected = [m for m in link.messages() if kinds([m]) == ["ORDER_REJECTED"]]
    assert [code(m) for m in rejected] == ["NOT_ENOUGH_MONEY"]


@pytest.mark.parametrize("told", [True, False])
def test_other_links_are_told_the_id_or_not(tmp_path: Path, told: bool) -> None:
    bench, link = scene(tmp_path, ids_on_other_links=told)
    other = bench.link().login()
    other.read()
    ref = link.send(market())
    assert [d.client_msg_id for d in link.read()] == [ref, ref]
    assert [d.client_msg_id for d in other.read()] == ([ref, ref] if told else [None, None])


# -- sessions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [True, False])
def test_a_heartbeat_before_the_application_signs_in(tmp_path: Path, taken: bool) -> None:
    bench, _ = scene(tmp_path, heartbeat_before_login=taken)
    link = bench.link()
    link.send(oa.HeartbeatEvent(), "")
    assert [code(m) for m in link.messages()] == ([] if taken else ["CH_CLIENT_NOT_AUTHENTICATED"])


@pytest.mark.parametrize(("after", "said", "alive"), [("ends", 2, False), ("announces", 2, True), ("silent", 0, True)])
def test_what_a_refresh_does_to_the_session(tmp_path: Path, after: str, said: int, alive: bool) -> None:
    _, link = scene(tmp_path, after_refresh=after)
    link.send(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))
    assert [type(m) for m in link.messages()][1:] == [oa.AccountsTokenInvalidatedEvent, oa.AccountDisconnectEvent][
        :said
    ]
    assert isinstance(link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT)), oa.TraderRes) == alive


@pytest.mark.parametrize(("single", "second"), [(True, oa.ErrorRes), (False, oa.RefreshTokenRes)])
def test_a_refresh_token_used_twice(tmp_path: Path, single: bool, second: type[Any]) -> None:
    _, link = scene(tmp_path, refresh_token_single_use=single)
    answers = [link.ask(oa.RefreshTokenReq(refreshToken="sandbox-refresh")) for _ in range(2)]
    assert [type(a) for a in answers] == [oa.RefreshTokenRes, second]


@pytest.mark.parametrize(("counted", "refused"), [("documented", False), ("lists_too", True)])
def test_which_lists_count_as_historical(tmp_path: Path, counted: str, refused: bool) -> None:
    _, link = scene(tmp_path, limits={"historical": counted})
    answers = [link.ask(oa.OrderListReq(ctidTraderAccountId=ACCOUNT)) for _ in range(6)]
    assert isinstance(answers[-1], oa.ErrorRes) == refused


# -- history ------------------------------------------------------------------------------------------------------------


def history(folder: Path, **behaviour: Any) -> Any:
    """Four bars, asked for from the first to the opening of the fourth."""
    bench, link = scene(folder, **behaviour)
    start_ms = bench.clock.now_ns() // 1_000_000
    for _ in range(4):
        bench.push("1.10000", "1.10002")
        bench.wait(60)
    bench.wait(1)
    end_ms = start_ms + 180_000
    return link, oa.GetTrendbarsReq(
        ctidTraderAccountId=ACCOUNT,
        symbolId=EURUSD,
        period=oa.TrendbarPeriod.M1,
        fromTimestamp=start_ms,
        toTimestamp=end_ms,
    )


def test_bars_by_default_are_ascending_inclusive_and_without_a_period(tmp_path: Path) -> None:
    link, request = history(tmp_path)
    answer = link.ask(request)
    minutes = [b.utcTimestampInMinutes for b in answer.trendbar]
    assert [m - minutes[0] for m in minutes] == [0, 1, 2, 3]
    assert not any(b.HasField("period") for b in answer.trendbar)
    assert answer.HasField("hasMore")


@pytest.mark.parametrize(
    ("switch", "minutes", "period", "more"),
    [
        ({"bars_newest_first": True}, [3, 2, 1, 0], False, True),
        ({"bars_end_inclusive": False}, [0, 1, 2], False, True),
        ({"bars_carry_period": True}, [0, 1, 2, 3], True, True),
        ({"bars_has_more": False}, [0, 1, 2, 3], False, False),
    ],
)
def test_bars_otherwise(tmp_path: Path, switch: dict[str, Any], minutes: list[int], period: bool, more: bool) -> None:
    link, request = history(tmp_path, **switch)
    answer = link.ask(request)
    first = request.fromTimestamp // 60_000
    assert [b.utcTimestampInMinutes - first for b in answer.trendbar] == minutes
    assert all(b.HasField("period") == period for b in answer.trendbar)
    assert answer.HasField("hasMore") == more


@pytest.mark.parametrize(
    ("less", "counts"), [("full_page", [3, 2, 3]), ("always", [2, 1, 3]), ("never", [3, 2, 4])], ids=lambda v: str(v)
)
def test_a_count_of_bars_may_give_one_less(tmp_path: Path, less: str, counts: list[int]) -> None:
    link, request = history(tmp_path, bars_one_less=less, bars_max=4)
    found = []
    for wanted in (3, 2, 4):
        request.count = wanted
        found.append(len(link.ask(request).trendbar))
    assert found == counts


@pytest.mark.parametrize(("ranges", "refused"), [("any", False), ("documented", True)])
def test_ranges_beyond_what_was_documented(tmp_path: Path, ranges: str, refused: bool) -> None:
    link, request = history(tmp_path, bar_ranges=ranges)
    request.toTimestamp = request.fromTimestamp + 3_024_000_001  # five weeks and a millisecond of M1
    answer = link.ask(request)
    assert (isinstance(answer, oa.ErrorRes) and code(answer) == "INCORRECT_BOUNDARIES") == refused
    request.period = oa.TrendbarPeriod.H1
    assert isinstance(link.ask(request), oa.GetTrendbarsRes)


@pytest.mark.parametrize(("order", "shown"), [
    ("newest_first", [3, 2]), ("oldest_first", [1, 2]), ("newest_upwards", [2, 3]),
])  # fmt: skip
def test_the_order_of_rows_in_a_list(tmp_path: Path, order: str, shown: list[int]) -> None:
    bench, link = scene(tmp_path, list_order=order, list_page=2)
    for _ in range(3):
        link.ask(market())
        bench.wait(1)
    answer = link.ask(oa.DealListReq(ctidTraderAccountId=ACCOUNT, fromTimestamp=0, toTimestamp=FOREVER_MS))
    assert ([deal.dealId - 7_000_000 for deal in answer.deal], answer.hasMore) == (shown, True)


# -- codes --------------------------------------------------------------------------------------------------------------


def test_every_refusal_of_the_ledger_has_its_code() -> None:
    assert {reason.value for reason in Refusal} <= set(ErrorCodes.model_fields)


def test_codes_and_words_are_settings(tmp_path: Path) -> None:
    errors = {"no_account": "ACCOUNT_NOT_AUTHORIZED", "bad_volume": "TRADING_BAD_STAKE: Not like this"}
    bench, link = scene(tmp_path, errors=errors)
    refused = link.ask(REFUSED)
    assert (code(refused), refused.description) == ("TRADING_BAD_STAKE", "Not like this")
    stranger = bench.link()
    assert code(stranger.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))) == "CH_CLIENT_NOT_AUTHENTICATED"
    stranger.ask(oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret"))
    unknown = stranger.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))
    assert (code(unknown), unknown.description) == ("ACCOUNT_NOT_AUTHORIZED", "Trading account is not authorized")


def raised(link: MemoryLink, bench: Bench) -> dict[str, Any]:
    """One request for each refusal that is about who speaks and what is asked."""
    stranger = bench.link()
    app = oa.ApplicationAuthReq(clientId="sandbox-client", clientSecret="sandbox-secret")
    told = {
        "no_application": stranger.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT)),
        "bad_application": stranger.ask(oa.ApplicationAuthReq(clientId="x", clientSecret="y")),
    }
    stranger.ask(app)
    auth: dict[str, Any] = {"ctidTraderAccountId": ACCOUNT, "accessToken": "sandbox-access"}
    bars = oa.SubscribeLiveTrendbarReq(ctidTraderAccountId=ACCOUNT, symbolId=EURUSD, period=oa.TrendbarPeriod.M1)
    spots = oa.SubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD])
    told |= {
        "second_application": stranger.ask(app),
        "no_account": stranger.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT)),
        "unknown_account": stranger.ask(oa.AccountAuthReq(**(auth | {"ctidTraderAccountId": 77}))),
        "wrong_environment": stranger.ask(oa.AccountAuthReq(**(auth | {"ctidTraderAccountId": 1_000_003}))),
        "token_invalid": stranger.ask(oa.AccountAuthReq(**(auth | {"accessToken": "x"}))),
        "refresh_token_invalid": stranger.ask(oa.RefreshTokenReq(refreshToken="x")),
        "second_account": link.ask(oa.AccountAuthReq(**auth)),
        "bars_without_spots": link.ask(bars),
        "not_subscribed": link.ask(oa.UnsubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[EURUSD])),
        "unknown_symbol": link.ask(oa.SymbolByIdReq(ctidTraderAccountId=ACCOUNT, symbolId=[999])),
        "bad_boundaries": link.ask(oa.DealListReq(ctidTraderAccountId=ACCOUNT, fromTimestamp=2, toTimestamp=1)),
        "unknown_message": link.ask(oa.V1PnLChangeSubscribeReq(ctidTraderAccountId=ACCOUNT)),
        "unknown_position": link.ask(oa.ClosePositionReq(ctidTraderAccountId=ACCOUNT, positionId=9, volume=1)),
        "unknown_order": link.ask(oa.CancelOrderReq(ctidTraderAccountId=ACCOUNT, orderId=9)),
        "bad_volume": link.ask(REFUSED),
        "bad_stops": link.ask(market(relativeStopLoss=-5)),
        "no_money": link.ask(market(volume=90 * LOT)),
    }
    link.ask(spots)
    told["already_subscribed"] = link.ask(spots)
    bench.venue.tokens.expire("sandbox-access", bench.clock.now_ns())
    told["token_expired"] = stranger.ask(oa.AccountAuthReq(**auth))
    bench.venue.start_maintenance(bench.clock.now_ns())
    told["maintenance"] = link.ask(oa.TraderReq(ctidTraderAccountId=ACCOUNT))
    return told


def test_each_code_in_both_positions(tmp_path: Path) -> None:
    bench, link = scene(tmp_path / "usual")
    usual = {reason: code(answer) for reason, answer in raised(link, bench).items()}
    assert usual == {reason: getattr(ErrorCodes(), reason) for reason in usual}
    changed = {reason: f"OTHER_{reason.upper()}" for reason in usual}
    bench, link = scene(tmp_path / "changed", errors=changed)
    assert {reason: code(answer) for reason, answer in raised(link, bench).items()} == changed


@pytest.mark.parametrize("wrong", ["", "lower_case", "CODE:", "CODE:no space"])
def test_a_code_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        BehaviourSettings.model_validate({"errors": {"no_account": wrong}})


def test_the_documents_have_every_switch_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"\| `(\w+)` \| ([^|]+) (?=\|)", text))
    settings = BehaviourSettings()
    wanted = {**settings.model_dump(exclude={"errors"}), **settings.errors.model_dump()}
    assert documented == {name: _shown(value) for name, value in wanted.items()}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Faults on command: cuts, silence, broken frames, lost and doubled messages, refusals."""

from typing import Any

import pytest

from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from tests.kit.sandbox_wire import ACCOUNT, LOT, Bench, MemoryLink, code, kinds, market

TENTH = LOT // 10


def test_snapshots_can_flicker(bench: Bench, link: MemoryLink) -> None:
    ticket = link.ask(market()).position.positionId
    bench.venue.hide(ticket, snapshots=1)
    reconcile = oa.ReconcileReq(ctidTraderAccountId=ACCOUNT)
    assert [len(link.ask(reconcile).position) for _ in range(2)] == [0, 1]


# -- faults -----------------------------------------------------------------------------------------------------------


def order_count(bench: Bench) -> int:
    return len(bench.venue.ledger.accounts[ACCOUNT].orders)


def test_cut_before_and_after_the_broker_acted(bench: Bench, link: MemoryLink) -> None:
    bench.venue.faults.add(FaultRule(kind=FaultKind.CUT_BEFORE, on="request", message="NewOrderReq"))
    link.read()
    link.send(market())
    assert (link.was_reset, link.messages(), order_count(bench)) == (True, [], 0)
    second = bench.link().login()
    bench.venue.faults.add(FaultRule(kind=FaultKind.CUT_AFTER, on="request", message="NewOrderReq"))
    second.read()
    second.send(market())
    assert (second.was_reset, second.messages(), order_count(bench)) == (True, [], 1)


def test_swallow_and_mute(bench: Bench, link: MemoryLink) -> None:
    link.read()
    for kind, done in ((FaultKind.SWALLOW, 0), (FaultKind.MUTE, 1)):
        bench.venue.faults.add(FaultRule(kind=kind, on="request", message="NewOrderReq"))
        link.send(market())
        assert (link.messages(), order_count(bench)) == ([], done)
    assert kinds([link.ask(market())]) == ["ORDER_ACCEPTED"]


def test_drop_duplicate_swap_and_delay_of_one_event(bench: Bench, link: MemoryLink) -> None:
    def with_fault(kind: FaultKind, **fields: Any) -> list[str]:
        link.read()
        rule = FaultRule(kind=kind, message="ExecutionEvent", execution="ORDER_ACCEPTED", **fields)
        bench.venue.faults.add(rule)
        link.send(market())
        return kinds(link.messages())

    assert with_fault(FaultKind.DROP) == ["ORDER_FILLED"]
    assert with_fault(FaultKind.DUPLICATE, copies=2) == ["ORDER_ACCEPTED"] * 3 + ["ORDER_FILLED"]
    assert with_fault(FaultKind.SWAP) == ["ORDER_FILLED", "ORDER_ACCEPTED"]
    assert with_fault(FaultKind.DELAY, seconds=2) == ["ORDER_FILLED"]
    bench.wait(2)
    assert kinds(link.messages()) == ["ORDER_ACCEPTED"]
    assert with_fault(FaultKind.SLOW, seconds=2) == []
    bench.wait(2)
    assert kinds(link.messages()) == ["ORDER_ACCEPTED", "ORDER_FILLED"]


def test_frames_broken_in_every_way(bench: Bench) -> None:
    def raw_after(kind: FaultKind) -> tuple[MemoryLink, bytes]:
        link = bench.link().login()
        link.read()
        before = len(link.raw)
        bench.venue.faults.add(FaultRule(kind=kind, message="VersionRes"))
        link.send(oa.VersionReq(), "v")
        return link, bytes(link.raw[before:])

    whole = raw_after(FaultKind.DUPLICATE)[1]
    frame = whole[: len(whole) // 2]
    link, raw = raw_after(FaultKind.TRUNCATE)
    assert (raw, link.closed) == (frame[: 4 + (len(frame) - 4) // 2], True)
    link, raw = raw_after(FaultKind.STALL)
    assert (raw, link.closed) == (frame[: 4 + (len(frame) - 4) // 2], False)
    assert raw_after(FaultKind.OVERSIZE)[1] == frame + b"\x7f\xff\xff\xff"
    assert raw_after(FaultKind.EMPTY)[1] == b"\0\0\0\0" + frame
    assert raw_after(FaultKind.GARBAGE)[1] == frame[:4] + b"\xff" * (len(frame) - 4)


def test_strange_messages_of_a_newer_server(bench: Bench, link: MemoryLink) -> None:
    from pepperstone_adapter import openapi

    link.read()
    for kind in (FaultKind.UNKNOWN_FIELD, FaultKind.UNKNOWN_ENUM, FaultKind.UNKNOWN_TYPE, FaultKind.MISSING):
        bench.venue.faults.add(FaultRule(kind=kind, message="ExecutionEvent", execution="ORDER_FILLED"))
        link.send(market(volume=100_000))
    told = [d for d in link.read() if d.message is None or d.message.HasField("deal")]
    field, enum, unknown, missing = told
    assert openapi.unknown_numbers(field.message) == (200,)  # type: ignore[arg-type]
    assert not enum.message.HasField("executionType")  # type: ignore[union-attr]
    assert (unknown.payload_type, unknown.message) == (9_999, None)
    assert not missing.message.IsInitialized()  # type: ignore[union-attr]


def test_silence_is_half_open_and_ends(bench: Bench, link: MemoryLink) -> None:
    link.read()
    bench.venue.faults.add(FaultRule(kind=FaultKind.SILENCE, on="request", message="VersionReq", seconds=50))
    link.send(oa.VersionReq())
    link.send(market())
    for _ in range(49):
        bench.wait(1)
        bench.venue.second()
    assert (link.messages(), link.closed, order_count(bench)) == ([], False, 0)
    bench.wait(2)
    assert kinds(link.messages()) == ["ORDER_ACCEPTED", "ORDER_FILLED"]


def test_throttle_and_errors_on_command(bench: Bench, link: MemoryLink) -> None:
    bench.venue.faults.add(FaultRule(kind=FaultKind.THROTTLE, on="request", message="NewOrderReq", seconds=7))
    refused = link.ask(market())
    assert (code(refused), refused.retryAfter, order_count(bench)) == ("BLOCKED_PAYLOAD_TYPE", 7, 0)
    bench.venue.faults.add(FaultRule(kind=FaultKind.ERROR, on="request", text="TRADING_DISABLED", after=1, times=1))
    assert kinds([link.ask(market())]) == ["ORDER_ACCEPTED"]
    assert code(link.ask(market())) == "TRADING_DISABLED"
    assert bench.venue.faults.pending == ()


def test_sessions_lost_on_command(bench: Bench, link: MemoryLink) -> None:
    def rule(kind: FaultKind, **fields: Any) -> None:
        bench.venue.faults.add(FaultRule(kind=kind, on="request", message="ReconcileReq", **fields))

    reconcile = oa.ReconcileReq(ctidTraderAccountId=ACCOUNT)
    link.ask(market())
    rule(FaultKind.FLICKER, copies=2)
    assert [len(link.ask(reconcile).position) for _ in range(3)] == [0, 0, 1]
    rule(FaultKind.MAINTENANCE, seconds=30)
    assert code(link.ask(reconcile)) == "SERVER_IS_UNDER_MAINTENANCE"
    bench.wait(30)
    assert len(link.ask(reconcile).position) == 1
    rule(FaultKind.ACCOUNT_DISCONNECT)
    assert code(link.ask(reconcile)) == "INVALID_REQUEST"
    login = oa.AccountAuthReq(ctidTraderAccountId=ACCOUNT, accessToken="sandbox-access")
    assert isinstance(link.ask(login), oa.AccountAuthRes)
    rule(FaultKind.TOKEN_LOSS)
    link.send(reconcile)
    assert [type(m).__name__ for m in link.messages()] == [
        "AccountsTokenInvalidatedEvent",
        "AccountDisconnectEvent",
        "ErrorRes",
    ]
    assert code(link.ask(login)) == "CH_ACCESS_TOKEN_INVALID"
    rule(FaultKind.CLIENT_DISCONNECT, text="too old")
    link.send(reconcile)
    assert (link.messages()[-1].reason, link.closed) == ("too old", True)


@pytest.mark.parametrize(("kind", "on"), [(FaultKind.DROP, "request"), (FaultKind.MUTE, "reply")])
def test_a_rule_on_the_wrong_side_is_refused(kind: FaultKind, on: Any) -> None:
    with pytest.raises(ValueError, match="acts on a"):
        FaultRule(kind=kind, on=on)

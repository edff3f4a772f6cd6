"""The sans-I/O core of a link: in which order an answer reaches the node."""

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.common.errors import LinkLost
from pepperstone_adapter.ctrader.client.protocol import LinkProtocol, Request
from pepperstone_adapter.openapi import messages as oa

ACCOUNT = 7
NEW_ORDER = oa.NewOrderReq(
    ctidTraderAccountId=ACCOUNT,
    symbolId=1,
    orderType=oa.OrderType.LIMIT,
    tradeSide=oa.TradeSide.BUY,
    volume=100_000,
    limitPrice=1.05,
)


def test_an_acceptance_is_on_its_way_to_the_node_before_the_answer_is_worked_on() -> None:
    seen: list[str] = []
    core = LinkProtocol(
        on_message=lambda _message, _request: seen.append("event"),
        on_open=lambda: None,
        on_lost=lambda _error: None,
        on_failed=lambda _error: None,
        on_unknown=lambda _kind: None,
        on_batch=lambda: seen.append("handed on"),
    )
    core.opened(0.0)
    request = core.ask(NEW_ORDER, 0.0)
    request.promise.then(lambda _answer: seen.append("answer"), lambda error: seen.append(repr(error)))
    assert core.output(0.0)
    accepted = oa.ExecutionEvent(ctidTraderAccountId=ACCOUNT, executionType=oa.ExecutionType.ORDER_ACCEPTED)
    data = openapi.encode(accepted, request.id)
    core.received(len(data).to_bytes(4) + data, 0.1)
    assert seen[:3] == ["event", "handed on", "answer"]


def test_an_order_is_answered_by_its_own_event_and_not_by_that_of_its_stop() -> None:
    seen: list[object] = []

    def read(message: object, request: Request | None) -> None:
        assert request is not None
        assert isinstance(message, oa.ExecutionEvent)
        assert request.reading is None  # what was made of the stop's event is not the answer's
        if message.order.orderId == 2:
            request.reading = "the stop"
        seen.append(message.order.orderId)

    core = LinkProtocol(
        on_message=read, on_open=lambda: None, on_lost=lambda _error: None, on_failed=lambda _error: None,
        on_unknown=lambda _kind: None, on_batch=lambda: None,
    )  # fmt: skip
    core.opened(0.0)
    request = core.ask(NEW_ORDER, 0.0)
    request.promise.then(lambda _answer: seen.append("answer"), lambda error: seen.append(repr(error)))
    assert core.output(0.0)
    data = oa.TradeData(symbolId=1, volume=100_000, tradeSide=oa.TradeSide.BUY)
    for order_id, kind in ((2, oa.OrderType.STOP_LOSS_TAKE_PROFIT), (1, oa.OrderType.MARKET)):
        order = oa.Order(
            orderId=order_id, tradeData=data, orderType=kind, orderStatus=oa.OrderStatus.ORDER_STATUS_ACCEPTED
        )
        event = oa.ExecutionEvent(
            ctidTraderAccountId=ACCOUNT, executionType=oa.ExecutionType.ORDER_ACCEPTED, order=order
        )
        frame = openapi.encode(event, request.id)
        core.received(len(frame).to_bytes(4) + frame, 0.1)
    assert seen == [2, 1, "answer"]


def test_an_order_whose_event_breaks_a_part_of_ours_is_answered_all_the_same() -> None:
    """Nobody would ask the broker about one that waits for an answer that has come: it would be submitted for ever."""
    answers: list[object] = []

    def breaks(_message: object, _request: Request | None) -> None:
        raise RuntimeError("a bug in reading")

    core = LinkProtocol(
        on_message=breaks, on_open=lambda: None, on_lost=lambda _error: None, on_failed=lambda _error: None
    )
    core.opened(0.0)
    request = core.ask(NEW_ORDER, 0.0)
    request.promise.then(answers.append, answers.append)
    assert core.output(0.0)
    accepted = oa.ExecutionEvent(ctidTraderAccountId=ACCOUNT, executionType=oa.ExecutionType.ORDER_ACCEPTED)
    frame = openapi.encode(accepted, request.id)
    with pytest.raises(RuntimeError, match="a bug in reading"):
        core.received(len(frame).to_bytes(4) + frame, 0.1)
    core.lost(LinkLost("what broke ended the link"), 0.2)
    assert answers == [accepted]

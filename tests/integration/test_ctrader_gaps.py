"""What a session does about things that went missing: closes during an outage, streams that died, closed venues."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.broker.events import AccountChanged, LinkDown, LinkUp, Notice, PositionChanged
from pepperstone_adapter.broker.market import Bar, BarPeriod, DepthUpdate, Tick
from pepperstone_adapter.broker.orders import Protection
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import connected, run, sandbox
from tests.kit.requests import market_order

D = Decimal


@pytest.fixture
def broker(tmp_path: Path):
    with sandbox(tmp_path) as running:
        running.push("EURUSD", "1.10000", "1.10010")
        yield running
        assert running.violations() == []


def keep_away(broker: Sandbox) -> None:
    """No link comes back until the faults are cleared."""
    broker.add_fault(FaultRule(kind=FaultKind.CUT_BEFORE, on="request", message="ApplicationAuthReq", times=0))


def test_a_stop_that_was_hit_during_an_outage_closes_its_position_with_the_reconnect(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            stop = Protection(stop_loss=D("0.00500"), distance=True)
            await session.submit(market_order(protection=stop))
            await recorder.until(lambda: len(recorder.changes()) == 3)  # the last is its protective order
            keep_away(broker)
            broker.call(broker.venue.disconnect_clients, "maintenance")
            await recorder.until(lambda: recorder.of(LinkDown))
            broker.push("EURUSD", "1.09000", "1.09010")
            assert not broker.ledger.accounts[1001].positions
            broker.clear_faults()
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            assert recorder.of(PositionChanged)[-1].position.units == 0
            account = recorder.of(AccountChanged)[-1].account
            assert (account.used_margin, account.equity) == (0, account.balance)
            assert not [n for n in recorder.of(Notice) if "no deal" in n.text]

    run(main)


def test_quotes_given_up_and_asked_for_again_begin_anew_with_the_bars_and_depth_that_ride_on_them(
    broker: Sandbox,
) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):
            await session.subscribe_quotes(["EURUSD"])
            await session.subscribe_bars("EURUSD", BarPeriod.M1)
            await session.subscribe_depth("EURUSD")
            await recorder.until(lambda: recorder.of(Tick) and recorder.of(DepthUpdate))

            def lose_subscription() -> None:
                for connection in broker.venue.connections:
                    connection.subscriptions[1001].spots.clear()

            broker.call(lose_subscription)  # the venue sends nothing more, and does not say so
            await session.unsubscribe_quotes(["EURUSD"])
            await session.subscribe_quotes(["EURUSD"])
            recorder.events.clear()
            broker.push("EURUSD", "1.10020", "1.10030")
            await recorder.until(lambda: recorder.of(Tick) and recorder.of(DepthUpdate))
            frames = broker.call(lambda: list(broker.journal.frames))
            asked = [f.name for f in frames if f.direction == "in" and "Spots" in f.name]
            assert asked == ["SubscribeSpotsReq", "UnsubscribeSpotsReq", "SubscribeSpotsReq"]
            assert len(broker.call(broker.journal.requests, "SubscribeLiveTrendbarReq")) == 2
            assert len(broker.call(broker.journal.requests, "SubscribeDepthQuotesReq")) == 2

    run(main)


def test_maintenance_told_to_an_account_is_waited_for_to_its_end(broker: Sandbox) -> None:
    async def main() -> None:
        async with connected(broker) as (session, recorder):

            def close_for_nine_minutes() -> None:
                broker.venue.start_maintenance(broker.clock.now_ns() + 540_000_000_000)
                broker.venue.disconnect_account(1001)

            broker.call(close_for_nine_minutes)
            await recorder.until(lambda: recorder.of(LinkDown))
            account = session._account
            assert account is not None
            retry_at_s = account.hub.protocol.retry_at_s
            # The time of the next attempt has no event to wait for.
            while not (retry_at_s() or 0.0) > account.hub.now_s + 440:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert (
                len(broker.call(broker.journal.requests, "AccountAuthReq")) == 2
            )  # the first, and the one that was told to wait

    run(main)


def test_the_bars_that_ended_during_an_outage_are_handed_over_after_it(tmp_path: Path) -> None:
    clock = TestClock(1_700_000_040_000_000_000)  # a whole minute

    async def main(broker: Sandbox) -> None:
        async with connected(broker, clock=clock) as (session, recorder):
            await session.subscribe_bars("EURUSD", BarPeriod.M1)
            broker.push("EURUSD", "1.10000", "1.10010")
            account = session._account
            assert account is not None
            while not any(closer.open_from_ns for closer in account.feed._bars.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a forming bar makes no event
            keep_away(broker)
            broker.call(broker.venue.disconnect_clients, "maintenance")
            await recorder.until(lambda: recorder.of(LinkDown))
            for close in ("1.10040", "1.10050", "1.10060"):
                broker.push("EURUSD", close, "1.10070")
                broker.advance(60)
            broker.advance(5)  # a finished bar takes a moment into history
            broker.clear_faults()
            await recorder.until(lambda: recorder.of(Bar))
            bars = recorder.of(Bar)
            assert [(b.open_ns - 1_700_000_040_000_000_000) // 60_000_000_000 for b in bars] == [0, 1, 2]
            assert [(b.open, b.high, b.low, b.close, b.closed) for b in bars] == [
                (110_000, 110_040, 110_000, 110_040, True),
                (110_050, 110_050, 110_050, 110_050, True),
                (110_060, 110_060, 110_060, 110_060, True),
            ]
            assert [n.text for n in recorder.of(Notice) if "bars ended" in n.text] == [
                "EURUSD M1: 3 bars ended while the link was down; they are handed on late"
            ]

    with sandbox(tmp_path, clock=clock) as broker:
        run(lambda: main(broker))


def test_bars_that_end_together_do_not_wait_for_a_place_in_the_queue_of_history(tmp_path: Path) -> None:
    start_ns = 1_700_000_040_000_000_000 // 360_000_000_000 * 360_000_000_000
    clock = TestClock(start_ns)  # bars of one, two and three minutes begin here
    names = ["EURUSD", "GBPUSD", "USDJPY", "EURGBP", "EURJPY", "AUDUSD", "USDCHF", "USDCAD", "NZDUSD", "EURCHF"]
    periods = (BarPeriod.M1, BarPeriod.M2, BarPeriod.M3)

    async def main(broker: Sandbox) -> None:
        async with connected(broker, clock=clock) as (session, recorder):
            account = session._account
            assert account is not None
            for name in names:
                for period in periods:
                    await session.subscribe_bars(name, period)
            for at_s in (0, 300):
                broker.advance(at_s)
                for name in names:
                    broker.push(name, "1.10040", "1.10050")
            while sum(c.open_from_ns > start_ns for c in account.feed._bars.values()) < len(names) * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            broker.advance(61)
            await recorder.until(lambda: len({(b.symbol, b.period) for b in recorder.of(Bar) if b.closed}) == 30)
            asked = len(broker.call(broker.journal.requests, "GetTrendbarsReq"))
            assert asked < len(recorder.of(Bar)) - 10  # the rest is handed over as the stream showed it

    with sandbox(tmp_path, clock=clock, symbols={"names": names}) as broker:
        run(lambda: main(broker))

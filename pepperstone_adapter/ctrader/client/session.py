"""`BrokerSession` for one cTrader account, as the node's loop sees it.

Every coroutine here hands its work to the network thread and waits for a plain value; every event comes out of that
thread through one mailbox, in the venue's order. The order verbs hand it over, and have it written, when they are
called; their coroutine only waits. What each verb promises stands in `broker.session`; the choices this
venue leaves open are these:

* An order the venue refuses at once raises (`OrderRefused`, `NotFound`, `RateLimited`) and makes no event; a refusal
  that comes after an acceptance, or after the wait for an answer was given up, comes as an event.
* The answer's own event (accepted, replaced, cancelled) is delivered too, usually before the verb returns.
* A market order takes its levels as distances; exact levels are the caller's `set_protection` after the fill.
* `close_position` carries no id of ours to the venue: the session ties the closing order to `client_order_id` by the
  answer, and `find_order` finds it by position, size and time where there was none. After a restart only its order id
  finds it.
* Live bars come once, closed. `Tick.ts_ns` is the venue's stamp.
* `RateLimited` with code ``LOCAL_CAP`` is our own guard of a demo account's minute caps: nothing was sent.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Future
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.events import BrokerEvent, Notice, OrderChanged
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    Deal,
    OrderRequest,
    OrderState,
    OrderType,
    Protection,
    TimeInForce,
)
from pepperstone_adapter.broker.session import BrokerSnapshot, FoundOrder, OnEvents
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.clock import Clock, SystemClock
from pepperstone_adapter.common.errors import ConnectFailed, LinkLost, LocalProtocolError, OrderRefused
from pepperstone_adapter.ctrader.client.account import Account
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.market import PERIODS
from pepperstone_adapter.ctrader.client.protocol import LinkProtocol, Timings
from pepperstone_adapter.ctrader.client.requests import CLIENT_ORDER_ID_MAX, LABEL_MAX
from pepperstone_adapter.ctrader.client.tokens import Credentials, CredentialStore
from pepperstone_adapter.network.link import RECONNECT, Link
from pepperstone_adapter.network.mailbox import Mailbox
from pepperstone_adapter.network.promises import Promise, in_pool, spawn
from pepperstone_adapter.network.thread import NetworkThread
from pepperstone_adapter.network.tls import ConnectRefused, Endpoint

CONNECT_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 4.5
SANDBOX_HINT = "is the sandbox running? `pepperstone sandbox configs/sandbox/default.yaml` starts it"

ENDPOINTS = {
    "demo": Endpoint(host="demo.ctraderapi.com", port=5035),
    "live": Endpoint(host="live.ctraderapi.com", port=5035),
}
_FOK = frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK})
_RESTING = frozenset({TimeInForce.GTC, TimeInForce.GTD})
CLOSING = frozenset({TimeInForce.GTC, TimeInForce.IOC})
TIME_IN_FORCE = {
    OrderType.MARKET: _FOK,  # GTC is what a framework's plain market order says; it goes out as IOC
    OrderType.MARKET_RANGE: _FOK,
    OrderType.LIMIT: _RESTING | _FOK,
    OrderType.STOP: _RESTING,
    OrderType.STOP_LIMIT: _RESTING,
}

CAPABILITIES = Capabilities(
    time_in_force=TIME_IN_FORCE,
    closing_time_in_force=CLOSING,
    depth=True,
    historical_ticks=True,
    bar_periods=tuple(PERIODS),
    live_bar_periods=tuple(PERIODS),
    absolute_protection_on_market=False,
    trailing_stop=True,
    stop_limit_as_distance=True,
    amend_units=True,
    close_by=False,  # the Open API has no such request
    post_only=False,
    client_order_id_max=CLIENT_ORDER_ID_MAX,
    tag_max=LABEL_MAX,
    keeps_texts=True,
)

#: Links of this process by endpoint and application; touched in the network thread only.
_hubs: dict[tuple[Endpoint, str], Hub] = {}

type Work[T] = Callable[[Account], Coroutine[Any, Any, T]]
type LoadCredentials = Callable[[], tuple[CredentialStore, Credentials]]


class CTraderSession:
    """One account at cTrader.

    Parameters
    ----------
    wanted
        Account number and environment.
    endpoint
        `ENDPOINTS` of the environment, or the sandbox's with its CA file.
    credentials
        Loads the store and what it holds; it may block and is called beside the loop.
    connect_timeout_s
        How long `connect` may take altogether, reconnecting meanwhile. A sandbox's port that nobody listens on is
        told after a few attempts, within five seconds.
    timings, reconnect
        Deadlines of the link, and the waits between its attempts; those of the first session of a link count.
    """

    def __init__(
        self,
        wanted: Wanted,
        endpoint: Endpoint,
        credentials: LoadCredentials,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        clock: Clock | None = None,
        timings: Timings | None = None,
        reconnect: Backoff = RECONNECT,
    ) -> None:
        self.wanted = wanted
        self.endpoint = endpoint
        self._credentials = credentials
        self._connect_timeout_s = connect_timeout_s
        self._clock = clock or SystemClock()
        self._timings = timings
        self._reconnect = reconnect
        self._network: NetworkThread | None = None
        self._account: Account | None = None
        self._mailbox: Mailbox[BrokerEvent] | None = None
        self._on_events: OnEvents | None = None
        self._told_conflated = 0

    def __repr__(self) -> str:
        return f"<CTraderSession {self._account or 'not connected'}>"

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    # -- life -------------------------------------------------------------------------------------------------------

    async def connect(self, on_events: OnEvents) -> BrokerSnapshot:
        if self._account is not None:
            raise LocalProtocolError("this session is connected already")
        loop = asyncio.get_running_loop()
        self._on_events = on_events
        store, credentials = await loop.run_in_executor(None, self._credentials)
        network = self._network = NetworkThread.shared()
        mailbox = self._mailbox = Mailbox(loop, self._deliver, conflate=_conflate, urgent=_urgent)

        def join() -> Account:
            hub = self._hub(network, credentials)
            account = Account(hub, self.wanted, hub.keeper(store, credentials), mailbox.post)
            try:
                hub.join(account)
            except BaseException:
                _leave(account)
                raise
            return account

        joining = network.run(join)
        try:
            account = self._account = await self._wait(joining)
        except asyncio.CancelledError:
            network.call(_leave_again, joining)
            raise
        try:
            first: Future[BrokerSnapshot] = network.run(lambda: account.first)
            snapshot = await asyncio.wait_for(asyncio.wrap_future(first), self._connect_timeout_s)
        except TimeoutError:
            failure = account.last_failure
            await self.close()
            why = f": {str(failure).rstrip('.')}" if failure is not None else " (the server does not answer)"
            if self.endpoint.ca_file is not None:
                why += f"; {SANDBOX_HINT}"
            raise ConnectFailed(
                f"not connected to {self.endpoint} within {self._connect_timeout_s:g} s{why}"
            ) from failure
        except ConnectRefused as refused:
            await self.close()
            raise ConnectFailed(f"not connected to {refused}; {SANDBOX_HINT}") from refused
        except BaseException:
            await self.close()
            raise
        return snapshot

    async def close(self) -> None:
        account, self._account = self._account, None
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            mailbox.close()
        if account is None or self._network is None:
            return
        network = self._network
        try:
            await asyncio.wait_for(asyncio.wrap_future(network.run(lambda: _leave(account))), CLOSE_TIMEOUT_S)
        except TimeoutError:
            network.call(account.close)  # the link's own timer cuts it off

    # -- data -------------------------------------------------------------------------------------------------------

    async def symbols(self) -> Sequence[SymbolSpec]:
        account, network = self._joined()
        return await self._wait(network.run(account.symbols.all))

    async def subscribe_quotes(self, symbols: Sequence[str]) -> None:
        await self._ask(lambda account: account.feed.quotes(symbols))

    async def unsubscribe_quotes(self, symbols: Sequence[str]) -> None:
        await self._ask(lambda account: account.feed.no_quotes(symbols))

    async def subscribe_depth(self, symbol: str) -> None:
        await self._ask(lambda account: account.feed.depth(symbol))

    async def unsubscribe_depth(self, symbol: str) -> None:
        await self._ask(lambda account: account.feed.no_depth(symbol))

    async def subscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        await self._ask(lambda account: account.feed.bars(symbol, period))

    async def unsubscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        await self._ask(lambda account: account.feed.no_bars(symbol, period))

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> Sequence[Bar]:
        return await self._ask(lambda account: account.history.bars(symbol, period, start_ns, end_ns))

    async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
        return await self._ask(lambda account: account.history.ticks(symbol, start_ns, end_ns))

    # -- orders -----------------------------------------------------------------------------------------------------

    def submit(self, request: OrderRequest) -> Coroutine[Any, Any, OrderState]:
        return self._order(lambda account: account.orders.submit(request))

    def amend(self, request: AmendRequest) -> Coroutine[Any, Any, OrderState]:
        return self._order(lambda account: account.orders.amend(request))

    def cancel(self, order_id: str, symbol: str) -> Coroutine[Any, Any, None]:  # noqa: ARG002 - other venues need the symbol
        return self._order(lambda account: account.orders.cancel(order_id))

    def close_position(
        self, position_id: str, units: Decimal, client_order_id: str, time_in_force: TimeInForce = TimeInForce.GTC
    ) -> Coroutine[Any, Any, OrderState]:
        if time_in_force not in CLOSING:
            # A close carries no time in force: it is filled at once as far as there is volume.
            text = f"cTrader closes positions without {time_in_force.upper()}; send GTC"
            return _failed(OrderRefused("UNSUPPORTED", text))
        return self._order(lambda account: account.orders.close(position_id, units, client_order_id))

    async def close_by(self, position_id: str, other_id: str, client_order_id: str) -> OrderState:  # noqa: ARG002
        raise OrderRefused(
            "UNSUPPORTED", "cTrader's Open API has no close-by; close each position with an order of its own"
        )

    def set_protection(self, position_id: str, protection: Protection) -> Coroutine[Any, Any, None]:
        return self._order(lambda account: account.orders.protect(position_id, protection))

    async def snapshot(self) -> BrokerSnapshot:
        return await self._ask(lambda account: account.reconciler.snapshot())

    async def find_order(
        self, client_order_id: str | None = None, order_id: str | None = None, since_ns: int = 0
    ) -> FoundOrder | None:
        return await self._ask(lambda account: account.orders.find(client_order_id, order_id, since_ns))

    async def deals(self, since_ns: int, until_ns: int) -> Sequence[Deal]:
        return await self._ask(lambda account: account.history.deals(since_ns, until_ns))

    # -- the hop ----------------------------------------------------------------------------------------------------

    def _hub(self, network: NetworkThread, credentials: Credentials) -> Hub:
        """The process's link to this endpoint for this application, made when it is first needed."""
        key = (self.endpoint, credentials.application.client_id)
        hub = _hubs.get(key)
        if hub is None or hub.link.state == "stopped":
            reactor = network.reactor

            def make_link(core: LinkProtocol) -> Link:
                return Link(reactor, self.endpoint, core, self._reconnect)

            hub = _hubs[key] = Hub(
                credentials.application,
                reactor,
                self._clock,
                make_link,
                partial(in_pool, reactor),
                timings=self._timings,
            )
        return hub

    def _joined(self) -> tuple[Account, NetworkThread]:
        if self._account is None or self._network is None:
            raise LinkLost("the session is not connected; nothing was sent")
        return self._account, self._network

    async def _ask[T](self, work: Work[T]) -> T:
        """Run a coroutine of the account in the network thread and wait for its result."""
        return await self._begin(work, self._joined()[1].call)

    def _order[T](self, work: Work[T]) -> Coroutine[Any, Any, T]:
        """Do so at once: the request has been written, or waits behind the rate limit, when this returns."""
        try:
            return _result(self._begin(work, self._joined()[1].call_at_once))
        except LinkLost as error:
            return _failed(error)

    def _begin[T](self, work: Work[T], call: Callable[[Callable[[], object]], None]) -> "asyncio.Future[T]":
        account, _ = self._joined()
        loop = asyncio.get_running_loop()
        told: asyncio.Future[T] = loop.create_future()
        done, failed = partial(_tell, loop, told, told.set_result), partial(_tell, loop, told, told.set_exception)
        call(lambda: spawn(work(account), done, failed))
        return told

    @staticmethod
    async def _wait[T](future: "Future[T]") -> T:
        # A caller that is cancelled stops waiting, no more.
        told = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(told)
        except asyncio.CancelledError:
            told.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits: nobody complains
            raise

    def _deliver(self, events: list[BrokerEvent]) -> None:
        mailbox, on_events = self._mailbox, self._on_events
        if mailbox is None or on_events is None:
            return
        if mailbox.conflated > self._told_conflated:
            lost = mailbox.conflated - self._told_conflated
            self._told_conflated = mailbox.conflated
            text = f"the node was busy: {lost} quotes gave way to newer ones"
            events = [Notice(level="warning", text=text, ts_ns=self._clock.now_ns()), *events]
        on_events(events)


def _tell(
    loop: asyncio.AbstractEventLoop, told: "asyncio.Future[Any]", settle: Callable[[Any], None], outcome: Any
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear
        loop.call_soon_threadsafe(_settle, told, settle, outcome)


def _settle(told: "asyncio.Future[Any]", settle: Callable[[Any], None], outcome: Any) -> None:
    # A caller that was cancelled has stopped waiting; what it asked for goes on, and its events still come.
    if not told.done():
        settle(outcome)


async def _result[T](told: "asyncio.Future[T]") -> T:
    return await told


async def _failed(error: BaseException) -> NoReturn:
    raise error


def _conflate(event: BrokerEvent) -> Hashable | None:
    # A bid alone must not replace an ask alone.
    if isinstance(event, Tick):
        return (event.symbol, event.bid is None, event.ask is None)
    return None


def _urgent(event: BrokerEvent) -> bool:
    return isinstance(event, OrderChanged)


def _leave(account: Account) -> "Promise[None] | None":
    hub = account.hub
    account.close()
    if hub.leave(account):
        if account.account_id and hub.ready:
            account.sign_out()
        return None
    for key in [key for key, known in _hubs.items() if known is hub]:
        del _hubs[key]
    return hub.link.stop()


def _leave_again(joining: "Future[Account]") -> None:
    """Whoever wanted the account gave up before it had joined, which it has by now: calls run in their order."""
    if joining.exception() is None:
        _leave(joining.result())


__all__ = ["CONNECT_TIMEOUT_S", "ENDPOINTS", "CTraderSession"]

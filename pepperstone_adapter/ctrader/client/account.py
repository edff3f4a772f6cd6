"""One account in the network thread: its gate, its recovery, and what the venue pushes.

The gate. Orders flow only while the account is `up`. A lost link, an ended session or an invalidated token shuts the
gate (`LinkDown`); it opens again (`LinkUp`) only after this sequence:

1. Sign in (`signin`). From here on the venue pushes events; they are held.
2. Read deals, snapshot and single orders, and emit what changed (`reconcile`).
3. Subscribe to everything that is wanted, each thing once (`feed`).
4. Release what was held; the book drops what was told already.

On a healthy link the comparison of step 2 runs every `AUDIT_S`: an event the venue never sent is found within a minute.
"""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice, OrderChange, OrderChanged
from pepperstone_adapter.broker.orders import OrderStatus
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    DataError,
    LinkLost,
    OutcomeUnknown,
    PepperstoneError,
)
from pepperstone_adapter.ctrader.client import parsing
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.ctrader.client.desk import Desk, Notify, Tie, Wanted, log
from pepperstone_adapter.ctrader.client.errors import (
    Maintenance,
    WrongEnvironment,
    error_of,
    is_application_lost,
    is_session_lost,
)
from pepperstone_adapter.ctrader.client.feed import Feed
from pepperstone_adapter.ctrader.client.history import CLOCK_DOUBT_NS, History
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.orders import Orders, rejected_close, rejected_order
from pepperstone_adapter.ctrader.client.protocol import Request
from pepperstone_adapter.ctrader.client.reconcile import Reconciler
from pepperstone_adapter.ctrader.client.signin import SignIn, mask
from pepperstone_adapter.ctrader.client.symbols import UnknownSymbol
from pepperstone_adapter.ctrader.client.tokens import TokenKeeper
from pepperstone_adapter.network.promises import Promise, Task, spawn
from pepperstone_adapter.network.tls import CertificateRefused, ConnectRefused
from pepperstone_adapter.openapi import messages as oa

AUDIT_S = 30.0
EQUITY_S = 2.5
RENEW_S = 60.0
BARS_S = 0.5
RETRY_S = (1.0, 2.0, 5.0, 10.0)
#: A gate that was open for so long was open: the next recovery begins at once.
STEADY_S = 30.0
#: A port of this machine that refuses the first attempts, about three seconds long, has nobody behind it.
SANDBOX_REFUSALS = 4


class Account(Desk):
    """One account. Every method runs in the network thread.

    Attributes
    ----------
    first
        The first snapshot, or why there will be none.
    last_failure
        What last went wrong with the link or the recovery, for whoever waits.
    """

    def __init__(self, hub: Hub, wanted: Wanted, tokens: TokenKeeper, notify: Notify) -> None:
        super().__init__(hub, wanted, notify)
        self.history = History(self)
        self.feed = Feed(self, self.history)
        self.orders = Orders(self, self.history)
        self.reconciler = Reconciler(self, self.history)
        self.first: Promise[BrokerSnapshot] = Promise()
        self.last_failure: PepperstoneError | None = None
        self._signin = SignIn(self, tokens, lambda account_id: hub.identify(self, account_id))
        self._recovering: Task[None] | None = None
        self._watches: list[Task[None]] = []
        self._told_down = True
        self._closed = False
        self._refusals = 0
        self._attempts = 0  # to recover, since the gate last was open for a while
        self._succeeded = False  # the last of them
        self._opened_s = 0.0
        self._clock_told = False

    def __repr__(self) -> str:
        number, state = mask(self.wanted.account_number), "up" if self.up else "down"
        return f"<Account {number} {self.wanted.environment} {state}>"

    # -- the hub's side ---------------------------------------------------------------------------------------------

    def link_ready(self) -> None:
        self._attempts, self._succeeded = 0, False  # the link paces itself
        self._recover_soon()

    def link_lost(self, error: PepperstoneError, permanent: bool) -> None:
        self.last_failure = error
        self._stop_recovery()
        if permanent and not self.first.settled:
            self.first.reject(error)
        self._down(str(error), permanent)

    def link_failed(self, error: ConnectFailed) -> None:
        self.last_failure = error
        if isinstance(error, ConnectRefused) and self.hub.link.endpoint.ca_file is not None:
            self._refusals += 1
            if self._refusals >= SANDBOX_REFUSALS and not self.first.settled:
                self.first.reject(error)
        if isinstance(error, CertificateRefused):
            if self.first.settled:
                self.notice("error", str(error), halt=True)
                self.flush()
            else:
                self.first.reject(error)

    def message(self, message: Message, request: Request | None) -> None:
        if isinstance(message, oa.SpotEvent):
            self.feed.spot(message)
        elif isinstance(message, oa.DepthEvent):
            self.feed.depth_event(message)
        elif self._held is None and isinstance(message, oa.ExecutionEvent):  # an order's owner waits
            self._digest(message, request)
        elif isinstance(message, oa.AccountDisconnectEvent):
            self.shut("the venue ended this account's session")
        elif isinstance(message, oa.AccountsTokenInvalidatedEvent):
            self.shut(f"the access token is no longer valid ({message.reason or 'no reason given'})")
        elif self._held is not None:
            self._held.append((message, request))
        else:
            self._digest(message, request)
        if self.up:
            self.reconciler.contact_ns = self.now_ns

    # -- the gate ---------------------------------------------------------------------------------------------------

    def shut(self, reason: str) -> None:
        """Shut the gate on a link that stays; sign in and reconcile again."""
        self._stop_recovery()
        self._down(reason, permanent=False)
        if self.hub.ready:
            self._recover_soon()

    def close(self) -> None:
        """Leave: nothing is sent or told after this."""
        self._closed = True
        self._stop_recovery()
        self._stop_watches()
        self.up = False
        self._out = []

    def sign_out(self) -> None:
        """Tell the venue that this account leaves a link that others go on using."""
        request = self.hub.ask(oa.AccountLogoutReq(ctidTraderAccountId=self.account_id))
        request.promise.then(lambda _answer: None, lambda _error: None)

    def _down(self, reason: str, permanent: bool) -> None:
        if self.up and self.hub.now_s - self._opened_s >= STEADY_S:
            self._attempts, self._succeeded = 0, False
        self.up = False
        self.feed.reset()
        self._stop_watches()
        if not self._told_down or permanent:
            self._told_down = True
            self.emit([LinkDown(reason, self.now_ns, permanent)])
        self.flush()

    def _stop_recovery(self) -> None:
        task, self._recovering = self._recovering, None
        self._held = None
        if task is not None:
            task.cancel()

    def _stop_watches(self) -> None:
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.cancel()

    def _recover_soon(self) -> None:
        if not self._closed and self._recovering is None:
            self._recovering = spawn(self._recover(), lambda _none: None, self.log_bug)

    async def _recover(self) -> None:
        await self.hub.sleep(0)  # whoever shut the gate, perhaps an earlier recovery, ends first
        recovered = False
        while not recovered:
            failed = self._attempts - self._succeeded  # or the gate was shut again soon after it had opened
            if failed:
                self.flush()
                await self.hub.sleep(RETRY_S[min(failed, len(RETRY_S)) - 1])
            self._attempts, self._succeeded = self._attempts + 1, False
            recovered = await self._recovered()
        self._recovering = None

    async def _recovered(self) -> bool:
        """One attempt; True where no further one is wanted."""
        try:
            await self._signin.authorise()
            if self.first.settled:
                await self.reconciler.catch_up()
            else:
                await self.reconciler.begin()
            await self.feed.resubscribe()
        except (AuthenticationFailed, ConfigurationError, WrongEnvironment) as error:
            self.last_failure = error
            # Routing faults after a first success are the venue's maintenance; so is a session lost on the way.
            if self.first.settled and (isinstance(error, WrongEnvironment) or is_session_lost(error)):
                self._held = None
                if is_application_lost(error):  # only a new link signs the application in again
                    self.hub.end(LinkLost(f"the venue has forgotten the application: {error}"))
                return False
            self._held = None
            if not self.first.settled:
                self.first.reject(error)
            self._down(str(error), permanent=True)
            return True
        except Maintenance as error:
            self.last_failure = error
            self._held = None
            self.hub.end(error)  # it names its end: nothing is asked before
            return False
        except LinkLost as error:
            self.last_failure = error
            self._held = None
            return not self.hub.ready  # the next link begins anew
        except PepperstoneError as error:
            self.last_failure = error
            self._held = None
            self.notice("warning", f"not reconciled yet, trying again: {error}")
            return False
        return self._open()

    def _open(self) -> bool:
        """Open the gate; False where what was held has just ended the session, and another recovery is under way."""
        recovering = self._recovering
        held, self._held = self._held or [], None
        for message, request in held:
            self._digest(message, request)
        if self._recovering is not recovering:
            return False
        self.refresh_account()
        self.up = True
        self._opened_s, self._succeeded = self.hub.now_s, True
        self._told_down = False
        self.reconciler.contact_ns = self.now_ns
        if self.first.settled:
            self.emit([LinkUp(self.now_ns)])
        else:
            # Whoever connects gets the state as a snapshot, not as events.
            snapshot = self.reconciler.as_snapshot(list(self.book.positions.values()), list(self.book.orders.values()))
            self.book.load(list(self.book.positions.values()), ())  # what was held may be in the snapshot already
            self._out = [event for event in self._out if isinstance(event, Notice)]
            self.money.telling = True
            self.first.resolve(snapshot)
            self.emit([LinkUp(self.now_ns)])
        self.flush()
        self._watches = [
            self._watch(self.reconciler.audit, AUDIT_S),
            self._watch(self.reconciler.poll_equity, EQUITY_S),
            self._watch(self._renew, RENEW_S),
            self._watch(self.feed.close_due_bars, BARS_S),
        ]
        return True

    async def _renew(self) -> None:
        """Refresh a token that became due on a living session; the venue then ends it, and the gate reopens."""
        if await self._signin.renew():
            self.later(self._reopen())

    async def _reopen(self) -> None:
        self.shut("the access token was refreshed")

    def _watch(self, work: Callable[[], Coroutine[Any, Any, None]], every_s: float) -> Task[None]:
        async def repeat() -> None:
            while self.up:
                await self.hub.sleep(every_s)
                if self.up:
                    try:
                        await work()
                    except PepperstoneError as error:
                        log.info("%r: %s", self, error)
                    self.flush()

        return spawn(repeat(), lambda _none: None, self.log_bug)

    # -- what the venue says ----------------------------------------------------------------------------------------

    def _digest(self, message: Message, request: Request | None) -> None:
        try:
            self._apply(message, request)
        except UnknownSymbol as error:
            self.later(self._learn_symbol(error.symbol_id))
        except DataError as error:
            self.notice("error", f"a message of the venue could not be read: {error}", halt=True)
            if self.up:
                self.later(self.reconciler.audit())

    async def _learn_symbol(self, symbol_id: int) -> None:
        await self.reconciler.load_symbols()
        self.symbols.by_id(symbol_id)
        await self.reconciler.audit()

    def _apply(self, message: Message, request: Request | None) -> None:
        if isinstance(message, oa.ExecutionEvent):
            self._execution(message, request)
        elif isinstance(message, oa.OrderErrorEvent):
            self._refused_late(error_of(message), request)
        elif isinstance(message, oa.TrailingSLChangedEvent):
            position_id = str(message.positionId)
            position = self.book.positions.get(position_id)
            if position is not None:
                stop = u.price(message.stopPrice, self.symbols.by_name(position.symbol).digits)
                self.emit(self.book.trailed(position_id, stop, u.ns(message.utcLastUpdateTimestamp)))
        elif isinstance(message, oa.TraderUpdatedEvent):
            self.reconciler.take_trader(message.trader)
        elif isinstance(message, oa.MarginChangedEvent):
            used = u.money(message.usedMargin, self.money.digits_of(message))
            self.book.margin(str(message.positionId), used)
            self.refresh_account()
        elif isinstance(message, oa.SymbolChangedEvent):
            self.later(self.reconciler.load_specs(list(message.symbolId)))
        elif isinstance(message, oa.MarginCallTriggerEvent):
            level = message.marginCall.marginLevelThreshold
            self.notice("error", f"margin call: the margin level fell below {level:g} %", halt=True)
        elif isinstance(message, oa.ErrorRes | oa.CommonErrorRes):
            error = error_of(message)
            if error is not None and is_session_lost(error):
                self.shut(str(error))
            elif request is not None and request.trading:
                self._refused_late(error_of(message, trading=True), request)
            elif error is not None:
                self.notice("warning", f"the venue said, without naming a request: {error}")

    def _execution(self, event: oa.ExecutionEvent, request: Request | None) -> None:
        if request is not None and isinstance(request.note, Tie) and event.HasField("order"):
            order_id = str(event.order.orderId)
            own = event.order.closingOrder and event.order.orderType != oa.OrderType.STOP_LOSS_TAKE_PROFIT
            if own:
                self.tie(order_id, request.note.client_order_id)
        if event.HasField("depositWithdraw"):
            change = event.depositWithdraw
            version = change.balanceVersion if change.HasField("balanceVersion") else None
            self.money.balance(u.money(change.balance, self.money.digits_of(change)), version)
        if event.HasField("bonusDepositWithdraw"):
            self.later(self.reconciler.read_trader())
        execution = parsing.execution(event, self.symbols.by_id, self.book.client_id_of, self.money.digits)
        if execution.order is not None:
            self.venue_ns = max(self.venue_ns, execution.order.updated_ns)
            if request is not None:
                request.reading = execution
                self._check_clock(execution.order.updated_ns)
        deal = execution.deal
        if deal is not None and self.up and self.book.is_ahead(deal):
            self.later(self.reconciler.audit())  # the lists have both, in their order
        else:
            self.emit(self.book.apply(execution, self.now_ns))
        if deal is not None:
            if deal.balance is not None:
                self.money.balance(deal.balance, deal.balance_version)
            if self.up:
                self.later(self.reconciler.poll_equity())  # the profit of what is open now
        if deal is not None or execution.position is not None or event.HasField("depositWithdraw"):
            self.refresh_account()

    def _check_clock(self, answered_ns: int) -> None:
        """What the venue has just answered with bears its time. With a clock of ours that is further ahead than lists
        are asked back for, what gets lost is not found again."""
        ahead_ns = self.now_ns - answered_ns
        sandbox = self.wanted.environment is Environment.SANDBOX  # it may replay another year
        if answered_ns and ahead_ns > CLOCK_DOUBT_NS and not self._clock_told and not sandbox:
            self._clock_told = True
            text = (
                f"this machine's clock is {ahead_ns / 60e9:.0f} minutes ahead of the venue's: set it right, and restart"
            )
            self.notice("error", text, halt=True)

    def _refused_late(self, error: PepperstoneError | None, request: Request | None) -> None:
        """A refusal that is no answer any more: after an acceptance, after a deadline, or somebody else's."""
        asked, note = (request.message, request.note) if request is not None else (None, None)
        ours = note.client_order_id if isinstance(note, Tie) else ""
        if isinstance(asked, oa.NewOrderReq):
            ours = asked.clientOrderId
        rejected = next((order for order in self.book.orders.values() if ours and order.client_order_id == ours), None)
        if rejected is None and isinstance(asked, oa.NewOrderReq):
            rejected = rejected_order(asked, self.symbols.by_id)
        elif rejected is None and isinstance(asked, oa.ClosePositionReq):
            position = self.book.positions.get(str(asked.positionId))
            rejected = rejected_close(asked, position, ours) if position is not None else None
        if not ours or rejected is None or isinstance(error, OutcomeUnknown):
            self.notice("warning", f"the venue refused a request: {error}")
            return
        self.closings.pop(ours, None)
        self.book.orders.pop(rejected.order_id, None)
        rejected = replace(rejected, status=OrderStatus.REJECTED, reason=str(error))
        self.emit([OrderChanged(change=OrderChange.REJECTED, order=rejected, error=str(error), ts_ns=self.now_ns)])

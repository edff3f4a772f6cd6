"""The broker behind the wire: ledger, prices, tokens, and who must hear what.

Everything runs on one thread. Requests come in through `Connection`; the ledger's events go out to every connection
that is authorised for the account, with the mark of the request that started them.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from google.protobuf.message import Message

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.ctrader_server import codes
from pepperstone_adapter.sandbox.ctrader_server.connection import Connection, Sink
from pepperstone_adapter.sandbox.ctrader_server.directory import Directory, money, ms, wire_price
from pepperstone_adapter.sandbox.ctrader_server.encode import Encoder
from pepperstone_adapter.sandbox.ctrader_server.market import BidBar, SymbolHistory
from pepperstone_adapter.sandbox.ctrader_server.spots import Spots
from pepperstone_adapter.sandbox.ctrader_server.telling import Telling
from pepperstone_adapter.sandbox.ctrader_server.tokens import Grant, Tokens
from pepperstone_adapter.sandbox.faults import Faults
from pepperstone_adapter.sandbox.journal import Journal
from pepperstone_adapter.sandbox.ledger import EventKind, Ledger, LedgerEvent
from pepperstone_adapter.sandbox.settings import AccountSettings, SandboxSettings
from pepperstone_adapter.sandbox.tape import TapeBar

REFS_KEPT = 10_000
ANSWERS = (EventKind.ACCEPTED, EventKind.REPLACED, EventKind.CANCELED)


class Timer(Protocol):
    """The part of an asyncio loop a venue uses; tests bring one that they turn by hand."""

    def time(self) -> float: ...
    def call_soon(self, callback: Callable[..., None], *args: Any) -> Any: ...
    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Any: ...


class Venue:
    def __init__(
        self,
        settings: SandboxSettings,
        clock: BrokerClock,
        timer: Timer,
        ledger: Ledger | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.timer = timer
        self.ledger = ledger or Ledger(
            settings.symbols.terms(), [account.terms() for account in settings.accounts], settings.rules()
        )
        self.account_settings: dict[int, AccountSettings] = {account.id: account for account in settings.accounts}
        self.directory = Directory(self.ledger.symbols, {a.currency for a in settings.accounts})
        digits = {account.id: account.money_digits for account in settings.accounts}
        self.encoder = Encoder(self.directory, self.ledger.symbols, digits, settings.behaviour)
        self.tokens = Tokens(
            settings.seed,
            tuple(self.account_settings),
            settings.behaviour.access_token_lifetime_s,
            settings.behaviour.code_lifetime_s,
            clock.now_ns(),
            single_use=settings.behaviour.refresh_token_single_use,
        )
        self._telling = Telling(settings.behaviour)
        self._rest_set = False
        self._asked: dict[str, Connection] = {}  # who made a trading request, by its clientMsgId
        self.faults = Faults(settings.faults.rules)
        self.journal = journal or Journal(clock.now_ns)
        self.history = {name: SymbolHistory() for name in self.ledger.symbols}
        self.connections: set[Connection] = set()
        self.maintenance_end_ns: int | None = None
        self.hidden: dict[int, int] = {}  # order or position id -> snapshots it is missing from
        self.spots = Spots(self)
        self._by_account: dict[int, list[Connection]] = {}
        self._wake_at_ns: int | None = None
        self._wake_timer: Any = None
        self._numbers = 0
        self.ledger.listen(self._announce)

    # -- connections ----------------------------------------------------------------------------------------------

    def connect(self, environment: Environment, sink: Sink) -> Connection | None:
        """Take a new link; None (and the link closed) when there are too many."""
        self._numbers += 1
        connection = Connection(self, environment, sink, self._numbers)
        if len(self.connections) >= self.settings.limits.connections:
            code, text = self.settings.behaviour.errors.say("too_many_connections", "Too many connections")
            connection.send(oa.ErrorRes(errorCode=code, description=text))
            connection.close("too many connections")
            return None
        self.connections.add(connection)
        return connection

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        for account_id in list(connection.accounts):
            self.leave(connection, account_id)

    def join(self, connection: Connection, account_id: int, grant: Grant) -> None:
        connection.accounts[account_id] = grant
        self._by_account.setdefault(account_id, []).append(connection)

    def leave(self, connection: Connection, account_id: int) -> None:
        connection.drop_account(account_id)
        members = self._by_account.get(account_id, [])
        if connection in members:
            members.remove(connection)

    def audience(self, account_id: int) -> tuple[Connection, ...]:
        return tuple(self._by_account.get(account_id, ()))

    # -- time and prices ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Bring the ledger up to the clock and set the alarm for what it has to do next."""
        self.ledger.advance(self.clock.now_ns())
        due_ns = self.ledger.next_due_ns()
        if due_ns == self._wake_at_ns:
            return
        if self._wake_timer is not None:
            self._wake_timer.cancel()
            self._wake_timer = None
        self._wake_at_ns = due_ns
        wait_s = None if due_ns is None else self.clock.wait_s(due_ns)
        if wait_s is not None:
            self._wake_timer = self.timer.call_later(min(wait_s, 3_600.0), self._alarm)

    def _alarm(self) -> None:
        self._wake_timer = None
        self._wake_at_ns = None
        self.wake()

    def push(self, symbol: str, bid_points: int, ask_points: int, ts_ns: int | None = None) -> None:
        """A new price: history, ledger, then the spots of whoever listens."""
        now_ns = self.clock.now_ns() if ts_ns is None else ts_ns
        digits = self.ledger.symbols[symbol].spec.digits
        bid, ask = wire_price(bid_points, digits), wire_price(ask_points, digits)
        self.history[symbol].add(ms(now_ns), bid, ask)
        self.ledger.quote(symbol, bid_points, ask_points, now_ns)
        self.spots.price(symbol, bid, ask, ms(now_ns))
        if self.ledger.next_due_ns() != self._wake_at_ns:
            self.wake()

    def load_bar(self, bar: TapeBar) -> None:
        """A minute of the past, before any price is pushed."""
        digits = self.ledger.symbols[bar.symbol].spec.digits
        opened, high, low, close = (wire_price(p, digits) for p in (bar.open, bar.high, bar.low, bar.close))
        self.history[bar.symbol].add_bar(BidBar(bar.minute, opened, high, low, close, bar.volume))

    def second(self) -> None:
        """Once a second of real time: heartbeats, silent clients, expired sessions."""
        now_s = self.timer.time()
        for connection in tuple(self.connections):
            connection.watch(now_s)
            for account_id, wanted in connection.subscriptions.items():
                if wanted.pnl:
                    connection.send(self._pnl(account_id))

    # -- what the broker says ---------------------------------------------------------------------------------------

    def asks(self, ref: str, connection: Connection) -> None:
        """Remember whose trading request this is."""
        self._asked[ref] = connection
        if len(self._asked) > REFS_KEPT:
            del self._asked[next(iter(self._asked))]

    def broadcast(self, account_id: int, message: Message, ref: str = "") -> None:
        for connection in self.audience(account_id):
            known = self.settings.behaviour.ids_on_other_links or self._asked.get(ref) is connection
            connection.send(message, ref if known else "")

    def _announce(self, event: LedgerEvent) -> None:
        for told in self._telling.of(event):
            self._tell(told)
        if not self._rest_set:
            self._rest_set = True
            self.timer.call_soon(self._tell_rest)

    def _tell_rest(self) -> None:
        self._rest_set = False
        for told in self._telling.rest():
            self._tell(told)

    def _tell(self, event: LedgerEvent) -> None:
        switches = self.settings.behaviour
        is_answer = event.kind in ANSWERS and not event.by_server
        ref = event.ref if switches.follow_ups_keep_id or is_answer else ""
        if event.kind in codes.EXECUTION:
            if event.order is None:
                return  # this wire has no message for it
            self.broadcast(event.account_id, self.encoder.execution(event), ref)
            if event.deal is not None and event.deal.closed_units and switches.trader_updated_events:
                self.broadcast(event.account_id, self.trader_updated(event.account_id))
            return
        for message in self._others(event):
            self.broadcast(event.account_id, message, ref)

    def _others(self, event: LedgerEvent) -> list[Message]:
        message = self._other(event)
        told = [message] if message is not None else []
        if event.kind is not EventKind.TRAILED or self.settings.behaviour.trailing_events == "changed":
            return told
        replaced = self.encoder.execution(replace(event, kind=EventKind.REPLACED))
        return [*told, replaced] if self.settings.behaviour.trailing_events == "both" else [replaced]

    def _other(self, event: LedgerEvent) -> Message | None:
        switches = self.settings.behaviour
        account_id = event.account_id
        match event.kind:
            case EventKind.TRAILED if event.position is not None and event.position.stop_loss is not None:
                return oa.TrailingSLChangedEvent(
                    ctidTraderAccountId=account_id,
                    positionId=event.position.position_id,
                    orderId=event.position.protection_order_id,
                    stopPrice=float(event.position.stop_loss),
                    utcLastUpdateTimestamp=ms(event.ts_ns),
                )
            case EventKind.SWAP if switches.swap_events and event.position is not None:
                return oa.ExecutionEvent(
                    ctidTraderAccountId=account_id,
                    executionType=oa.ExecutionType.SWAP,
                    position=self.encoder.position(event.position),
                    isServerEvent=True,
                )
            case EventKind.CASH if event.cash is not None:
                return oa.ExecutionEvent(
                    ctidTraderAccountId=account_id,
                    executionType=oa.ExecutionType.DEPOSIT_WITHDRAW,
                    depositWithdraw=self.encoder.cash(event.cash),
                    isServerEvent=True,
                )
            case EventKind.MARGIN_CHANGED if switches.margin_changed_events and event.position is not None:
                digits = self.account_settings[account_id].money_digits
                return oa.MarginChangedEvent(
                    ctidTraderAccountId=account_id,
                    positionId=event.position.position_id,
                    usedMargin=money(event.position.used_margin, digits),
                    moneyDigits=digits,
                )
            case EventKind.MARGIN_CALL if event.level is not None:
                return oa.MarginCallTriggerEvent(
                    ctidTraderAccountId=account_id, marginCall=self.margin_call(account_id, event.level)
                )
            case EventKind.ACCOUNT_CHANGED:
                return self.trader_updated(account_id)
            case EventKind.SYMBOL_CHANGED:
                return oa.SymbolChangedEvent(
                    ctidTraderAccountId=account_id, symbolId=[self.directory.symbol_ids[event.symbol]]
                )
            case _:
                return None

    def trader(self, account_id: int) -> oa.Trader:
        account = self.ledger.accounts[account_id]
        given, terms = self.account_settings[account_id], account.terms
        trader = oa.Trader(
            ctidTraderAccountId=account_id,
            balance=money(account.balance, terms.money_digits),
            balanceVersion=account.balance_version,
            accessRights=_ACCESS[terms.access.value],
            depositAssetId=self.directory.asset_ids[terms.currency],
            swapFree=terms.swap_free,
            leverageInCents=int(terms.leverage * 100),
            totalMarginCalculationType=oa.TotalMarginCalculationType[terms.hedge_margin.name],
            maxLeverage=int(terms.leverage * 100),
            frenchRisk=False,
            traderLogin=given.login,
            accountType=_MODE[terms.mode.value],
            brokerName=self.settings.broker,
            registrationTimestamp=1_577_836_800_000,
            isLimitedRisk=terms.limited_risk,
            moneyDigits=terms.money_digits,
            fairStopOut=not terms.stop_out_partial,
            stopOutStrategy=oa.StopOutStrategy[terms.stop_out_order.name],
        )
        if terms.limited_risk:
            trader.limitedRiskMarginCalculationStrategy = oa.LimitedRiskMarginCalculationStrategy.ACCORDING_TO_LEVERAGE
        if self.settings.behaviour.extra_fields:
            trader.MergeFromString(b"\xb8\x01\x04")  # field 23 = 4
        return trader

    def trader_updated(self, account_id: int) -> oa.TraderUpdatedEvent:
        return oa.TraderUpdatedEvent(ctidTraderAccountId=account_id, trader=self.trader(account_id))

    def _pnl(self, account_id: int) -> oa.V1PnLChangeEvent:
        """Open profit of the whole account, for the withdrawn subscription."""
        digits = self.account_settings[account_id].money_digits
        open_now = [
            self.ledger.open_profit(account_id, position_id)
            for position_id in self.ledger.accounts[account_id].positions
        ]
        return oa.V1PnLChangeEvent(
            ctidTraderAccountId=account_id,
            grossUnrealizedPnL=money(sum((p.gross for p in open_now), Decimal(0)), digits),
            netUnrealizedPnL=money(sum((p.net for p in open_now), Decimal(0)), digits),
            moneyDigits=digits,
        )

    def margin_call(self, account_id: int, level: Decimal) -> oa.MarginCall:
        account = self.ledger.accounts[account_id]
        levels = list(account.terms.margin_call_levels)
        number = 61 + (levels.index(level) if level in levels else 0)
        call = oa.MarginCall(marginCallType=number, marginLevelThreshold=float(level))
        called_ns = account.called_ns.get(level)
        if called_ns:
            call.utcLastUpdateTimestamp = ms(called_ns)
        return call

    def rejection(self, request: Any, code: str) -> oa.ExecutionEvent | None:
        """A refusal as an execution event: of a new order, or of a cancel of one that works; None for other requests."""
        message = oa.ExecutionEvent(ctidTraderAccountId=request.ctidTraderAccountId, errorCode=code)
        if isinstance(request, oa.NewOrderReq):
            message.executionType = oa.ExecutionType.ORDER_REJECTED
            message.order.CopyFrom(
                self.encoder.rejected(request, self.ledger.state.new_order_id(), self.clock.now_ns())
            )
            return message
        order = self.ledger.accounts[request.ctidTraderAccountId].orders.get(getattr(request, "orderId", 0))
        if order is None or not isinstance(request, oa.CancelOrderReq):
            return None
        message.executionType = oa.ExecutionType.ORDER_CANCEL_REJECTED
        message.order.CopyFrom(self.encoder.order(order))
        return message

    # -- on command (tests, faults) -----------------------------------------------------------------------------------

    def start_maintenance(self, end_ns: int) -> None:
        """Refuse every request until `end_ns` (told in the answers) or `end_maintenance`."""
        self.maintenance_end_ns = end_ns

    def end_maintenance(self) -> None:
        self.maintenance_end_ns = None

    def disconnect_clients(self, reason: str) -> None:
        """ClientDisconnectEvent on every link, then close it."""
        for connection in tuple(self.connections):
            connection.send(oa.ClientDisconnectEvent(reason=reason))
            connection.close(reason)

    def disconnect_account(self, account_id: int) -> None:
        """AccountDisconnectEvent: the account's session ends, the link stays."""
        for connection in self.audience(account_id):
            self.leave(connection, account_id)
            connection.send(oa.AccountDisconnectEvent(ctidTraderAccountId=account_id))

    def invalidate_token(self, access: str, reason: str = "Access token is invalidated") -> None:
        """Revoke a grant: its token is dead, its sessions end."""
        grant = self.tokens.revoke(access)
        if grant is not None:
            self.end_sessions(grant, reason)

    def refreshed(self, old: Grant) -> None:
        """A grant was turned over: what becomes of its sessions is a switch."""
        after = self.settings.behaviour.after_refresh
        if after != "silent":
            self.end_sessions(old, "Access token is refreshed", only_say=after == "announces")

    def end_sessions(self, grant: Grant, reason: str, *, only_say: bool = False) -> None:
        for connection in tuple(self.connections):
            touched = [account_id for account_id, held in connection.accounts.items() if held is grant]
            if not touched:
                continue
            connection.send(oa.AccountsTokenInvalidatedEvent(ctidTraderAccountIds=touched, reason=reason))
            for account_id in touched:
                if not only_say:
                    self.leave(connection, account_id)
                connection.send(oa.AccountDisconnectEvent(ctidTraderAccountId=account_id))

    def hide(self, record_id: int, snapshots: int = 1) -> None:
        """Leave an order or position out of the next `snapshots` reconcile answers, although it exists."""
        self.hidden[record_id] = snapshots

    def hide_all(self, account_id: int, snapshots: int) -> None:
        """As `hide`, for everything the account has open now."""
        account = self.ledger.accounts[account_id]
        for record_id in (*account.positions, *account.working):
            self.hide(record_id, snapshots)


_ACCESS = {
    "full": oa.AccessRights.FULL_ACCESS,
    "close_only": oa.AccessRights.CLOSE_ONLY,
    "no_trading": oa.AccessRights.NO_TRADING,
}
_MODE = {
    "hedging": oa.AccountType.HEDGED,
    "netting": oa.AccountType.NETTED,
    "spread_betting": oa.AccountType.SPREAD_BETTING,
}

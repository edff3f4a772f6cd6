"""Settings of the sandbox broker. Every behaviour of a real server that was recorded or observed is a switch here, and
its default is what was seen; where nobody has seen it, the text says so (unconfirmed).
"""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import Environment, PositionMode
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import AssetClass, CommissionKind, CommissionRule, LeverageTier
from pepperstone_adapter.common.settings import RelativePath, StrictModel
from pepperstone_adapter.sandbox.faults import FaultSettings
from pepperstone_adapter.sandbox.ledger import (
    Access,
    AccountTerms,
    HedgeMargin,
    LedgerRules,
    StopOutOrder,
    SymbolTerms,
)
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Settings

NS_PER_MS = 1_000_000

#: Leverage by class where neither the symbol nor the settings say otherwise: the retail caps of ESMA, FCA and ASIC.
RETAIL_LEVERAGE = {
    "fx_major": Decimal(30),
    "fx_minor": Decimal(20),
    "fx_aud": Decimal(20),
    "fx_exotic": Decimal(20),
    "gold": Decimal(20),
    "index_major": Decimal(20),
    "commodity": Decimal(10),
    "share": Decimal(5),
    "crypto": Decimal(2),
}


class PortSettings(StrictModel):
    """Loopback ports; 0 takes a free one."""

    demo: int = Field(5035, ge=0, le=65535)
    live: int = Field(5045, ge=0, le=65535)
    oauth: int = Field(5080, ge=0, le=65535)


class AccountSettings(StrictModel):
    """One account. `id` is what the wire calls ctidTraderAccountId, `login` the number a person knows."""

    id: int = Field(gt=0)
    login: int = Field(gt=0)
    environment: Environment = Environment.DEMO
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    money_digits: int = Field(2, ge=0, le=8)
    mode: PositionMode = PositionMode.HEDGING
    leverage: Decimal = Field(Decimal(30), gt=0)
    balance: Decimal = Decimal(10_000)
    hedge_margin: HedgeMargin = HedgeMargin.MAX
    margin_call_levels: tuple[Decimal, ...] = Field((Decimal(100), Decimal(90), Decimal(70)), max_length=3)
    stop_out_level: Decimal = Field(Decimal(50), ge=0)
    stop_out_order: StopOutOrder = StopOutOrder.MOST_MARGIN_USED_FIRST
    stop_out_partial: bool = False
    access: Access = Access.FULL
    swap_free: bool = False
    limited_risk: bool = False

    def terms(self) -> AccountTerms:
        return AccountTerms(
            account_id=self.id,
            currency=self.currency,
            money_digits=self.money_digits,
            mode=self.mode,
            leverage=self.leverage,
            opening_balance=self.balance,
            hedge_margin=self.hedge_margin,
            margin_call_levels=self.margin_call_levels,
            stop_out_level=self.stop_out_level,
            stop_out_order=self.stop_out_order,
            stop_out_partial=self.stop_out_partial,
            access=self.access,
            swap_free=self.swap_free,
            limited_risk=self.limited_risk,
        )


class SymbolSettings(StrictModel):
    """Which symbols are dealt, and what differs from the symbol table.

    Attributes
    ----------
    overrides
        As in every settings file: symbol -> fields to change (``{GER40: {digits: 2}}``).
    always_open
        Trade around the clock, so that a sandbox works at the weekend.
    commission_per_lot
        Account-independent charge per lot and side in USD on currencies and metals (a Razor account); 0 = none.
    leverage
        Leverage by class, over the retail table.
    """

    names: tuple[str, ...] = ("EURUSD", "GBPUSD", "USDJPY", "EURGBP", "EURJPY", "AUDUSD", "XAUUSD", "NAS100", "GER40")
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    always_open: bool = False
    commission_per_lot: Decimal = Field(Decimal("3.50"), ge=0)
    leverage: dict[str, Decimal] = Field(default_factory=dict)
    conversion_fee: Decimal = Field(Decimal(0), ge=0, lt=1)
    stop_distance_points: int = Field(0, ge=0)
    profit_distance_points: int = Field(0, ge=0)

    def terms(self) -> list[SymbolTerms]:
        """Ledger terms of every symbol. Raises `ConfigurationError` for an unknown name."""
        table = symbol_table.load(self.overrides)
        leverage = {**RETAIL_LEVERAGE, **self.leverage}
        out: list[SymbolTerms] = []
        for name in self.names:
            spec = symbol_table.find(table, name)
            if self.always_open:
                spec = replace(spec, hours=TradingHours.always())
            rule = spec.commission or CommissionRule()
            if spec.commission is None and spec.asset_class in (AssetClass.FX, AssetClass.METAL):
                rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=self.commission_per_lot, currency="USD")
            tier = LeverageTier(up_to_usd=None, leverage=leverage.get(spec.leverage_class, Decimal(5)))
            out.append(
                SymbolTerms(
                    spec=spec,
                    commission=rule,
                    tiers=spec.leverage_tiers or (tier,),
                    conversion_fee=self.conversion_fee,
                    stop_distance_points=max(self.stop_distance_points, spec.stops_distance_points),
                    profit_distance_points=self.profit_distance_points,
                )
            )
        return out


class TapeSettings(StrictModel):
    """Where prices come from.

    Attributes
    ----------
    source
        ``walk``: a seeded random walk. ``catalog``: quotes or bars of the built catalog. ``none``: prices are pushed by
        a test.
    speed
        Seconds of market per second of clock; 0 = as fast as it can be served.
    shift
        Move the tape's times so that it begins now, on the same weekday and hour of the week (whole weeks are added).
    ticks_per_s
        Random walk: quotes a second over all symbols.
    history_days
        Random walk: days of bars that exist before the start.
    """

    source: Literal["walk", "catalog", "none"] = "walk"
    speed: float = Field(1.0, ge=0)
    shift: bool = True
    ticks_per_s: float = Field(4.0, gt=0, le=100_000)
    history_days: int = Field(5, ge=0, le=400)
    catalog: RelativePath | None = None
    start: str | None = Field(None, description="first moment to replay, ISO date or time in UTC")
    end: str | None = None


class LimitSettings(StrictModel):
    """Request limits.

    The per-second limits are documented by the venue. The rolling history quota was observed, its size was not (0 =
    off). The per-minute order caps are documented for demo accounts of cTrader Automate and presumed to hold at the
    server.
    """

    enabled: bool = True
    requests_per_s: int = Field(50, gt=0)
    history_per_s: int = Field(5, gt=0)
    history_quota_per_min: int = Field(0, ge=0)
    retry_after_s: int = Field(1, ge=0)
    error: Literal["BLOCKED_PAYLOAD_TYPE", "REQUEST_FREQUENCY_EXCEEDED"] = "BLOCKED_PAYLOAD_TYPE"
    demo_order_caps: bool = True
    demo_orders_per_min: int = 500
    demo_cancels_per_min: int = 100
    demo_amends_per_min: int = 100
    demo_closes_per_min: int = 2_000
    demo_protections_per_min: int = 1_000
    demo_protections_per_15_min: int = Field(
        5_000, gt=0, description="changes of stop loss and take profit; beyond it they are blocked for 30 minutes"
    )
    connections: int = Field(25, gt=0)


class BehaviourSettings(StrictModel):
    """How the server behaves where servers could differ. Defaults: recorded or observed unless marked unconfirmed."""

    heartbeat_idle_s: float = Field(
        25.0, gt=0, description="own heartbeat after so long without a word (observed 25-30)"
    )
    client_silence_s: float = Field(45.0, ge=0, description="close a silent client; 0 = never (value unconfirmed)")
    echo_heartbeats: bool = Field(False, description="never; an echo sends the official client into a storm")
    execution_delay_ms: float = Field(138.0, ge=0, description="acceptance to fill; recorded 138")
    slippage_points_max: int = Field(0, ge=0, description="extra slippage, drawn from the seed")
    access_token_lifetime_s: int = Field(2_628_000, gt=0, description="documented: about a month")
    code_lifetime_s: int = Field(60, gt=0, description="of the code a login ends with; documented")
    refresh_ends_session: bool = Field(
        True, description="a refresh ends sessions of the old token (one of two reports)"
    )
    technical_first_spot: bool = Field(True, description="the last price is sent right after subscribing")
    spots: Literal["changed_side", "both_sides"] = Field(
        "changed_side", description="a spot carries the side that changed (documented), or always both"
    )
    spots_after_unsubscribe: int = Field(
        0, ge=0, description="spots still sent after unsubscribing (allowed by the docs)"
    )
    spot_repeats: int = Field(
        0, ge=0, le=10, description="every spot is sent so many times again, word for word (never recorded)"
    )
    bars_in_own_spot: bool = Field(
        False, description="forming bars come after the price, in a spot event without bid and ask (never recorded)"
    )
    depth_levels: int = Field(5, ge=1, le=50, description="of each side of the order book (made up)")
    bar_lag_ms: float = Field(250.0, ge=0, description="a closed bar appears in history so late (observed 60-1000)")
    bars_max: int = Field(5_000, gt=0, description="longer ranges are cut silently at the old end (size unconfirmed)")
    bars_one_less: bool = Field(True, description="count=5000 gave 4999; smaller counts are exact")
    delta_high_bug_every: int = Field(240, ge=0, description="one M1 bar in n has deltaHigh=0 wrongly; 0 = never")
    ticks_page: int = Field(5_000, gt=0, description="ticks in one answer (size unconfirmed)")
    list_page: int = Field(500, gt=0, description="deals or orders in one answer (size unconfirmed)")
    echo_client_order_id: bool = Field(True, description="protective and closing orders carry a clientOrderId too")
    extra_fields: bool = Field(True, description="fields beyond the schema: Symbol 41, Trader 23, Deal 19 (recorded)")
    absolute_levels_on_market: Literal["refuse", "ignore"] = Field("refuse", description="unconfirmed which")
    order_with_position_id: bool = Field(True, description="NewOrderReq.positionId closes that position (unconfirmed)")
    amend_volume: Literal["total", "rest"] = Field(
        "total", description="what AmendOrderReq.volume means after a partial fill (unconfirmed)"
    )
    repeated_client_order_id: Literal["take", "refuse"] = Field(
        "take", description="an order whose clientOrderId the account has seen before (unconfirmed)"
    )
    order_list_time: Literal["updated", "created"] = Field(
        "updated", description="which time of an order OrderListReq filters and sorts by (unconfirmed)"
    )
    pending_when_closed: bool = Field(
        True, description="pending orders are taken while the market is closed (unconfirmed)"
    )
    pending_fill_by_server: bool = Field(True, description="isServerEvent on the fill of a pending order (unconfirmed)")
    announce_protection_cancel: bool = Field(True, description="ORDER_CANCELLED for the levels of a closed position")
    follow_ups_keep_id: bool = Field(
        True, description="fills and follow-ups carry the request's clientMsgId (seen once)"
    )
    margin_changed_events: bool = Field(False, description="MarginChangedEvent (documented, never seen)")
    trader_updated_events: bool = Field(False, description="TraderUpdatedEvent after a change of balance (unconfirmed)")
    swap_events: bool = Field(False, description="execution event SWAP at rollover (unconfirmed)")
    pnl_v1: bool = Field(False, description="answer the withdrawn PnL subscription (2189-2193)")
    order_error_ids: bool = Field(True, description="OrderErrorEvent names the order it is about, where it knows it")


class SandboxSettings(StrictModel):
    """The whole sandbox broker."""

    seed: int = 1
    host: str = "127.0.0.1"
    broker: str = "Sandbox"
    state_dir: RelativePath = Path("state/sandbox")
    ports: PortSettings = PortSettings()
    accounts: tuple[AccountSettings, ...] = Field(
        (
            AccountSettings(id=1_000_001, login=2_000_001),
            AccountSettings(id=1_000_002, login=2_000_002, currency="EUR", mode=PositionMode.NETTING),
            AccountSettings(id=1_000_003, login=2_000_003, environment=Environment.LIVE),
        ),
        min_length=1,
    )
    symbols: SymbolSettings = SymbolSettings()
    tape: TapeSettings = TapeSettings()
    limits: LimitSettings = LimitSettings()
    behaviour: BehaviourSettings = BehaviourSettings()
    faults: FaultSettings = FaultSettings()
    mt5: Mt5Settings | None = Field(None, description="a MetaTrader 5 terminal beside cTrader, on the same prices")
    journal: bool = Field(False, description="write every frame to wire.jsonl in the state folder (secrets left out)")

    @model_validator(mode="after")
    def _check(self) -> "SandboxSettings":
        ids = [account.id for account in self.accounts]
        if len(set(ids)) != len(ids) or len({a.login for a in self.accounts}) != len(ids):
            raise ValueError("accounts: every account needs an id and a login of its own")
        for account in self.accounts:
            if account.environment is Environment.SANDBOX:
                raise ValueError(f"accounts: account {account.id} must stand on the demo or the live port")
        if self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("host: the sandbox serves loopback only (127.0.0.1)")
        return self

    def rules(self) -> LedgerRules:
        """House rules of the ledger under cTrader's wire."""
        return LedgerRules(
            execution_delay_ns=round(self.behaviour.execution_delay_ms * NS_PER_MS),
            slippage_points_max=self.behaviour.slippage_points_max,
            pending_when_closed=self.behaviour.pending_when_closed,
            seed=self.seed,
        )

"""Settings of the sandbox broker: its ports, accounts, symbols, prices and limits. How its server behaves where servers
could differ is in `behaviour`.
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
from pepperstone_adapter.sandbox.behaviour import BehaviourSettings
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
NS_PER_S = 1_000_000_000

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
    historical: Literal["documented", "lists_too"] = Field(
        "documented", description="requests that count as historical; all lists of orders, deals and cash (unconfirmed)"
    )
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
            margin_call_silence_ns=round(self.behaviour.margin_call_silence_s * NS_PER_S),
            seed=self.seed,
        )

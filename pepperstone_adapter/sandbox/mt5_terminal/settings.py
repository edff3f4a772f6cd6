"""Settings of the simulated terminal. What nobody has seen at Pepperstone is a switch, and the text says so."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.common.settings import RelativePath, StrictModel
from pepperstone_adapter.sandbox.ledger import AccountTerms, LedgerRules, StopOutOrder, TicketScheme

MARKET = 2
FOK, IOC, BOC = 1, 2, 4


class Mt5Account(StrictModel):
    """An account of the trade server. `kind` is the module's trade_mode: 0 demo, 1 contest, 2 real."""

    login: int = Field(gt=0)
    password: str = Field("sandbox", repr=False)
    kind: Literal[0, 1, 2] = 0
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    mode: PositionMode = PositionMode.HEDGING
    leverage: Decimal = Field(Decimal(30), gt=0)
    balance: Decimal = Decimal(10_000)
    limit_orders: int = Field(200, ge=0, description="most pending orders; 0 = any number")

    def terms(self) -> AccountTerms:
        return AccountTerms(
            account_id=self.login,
            currency=self.currency,
            mode=self.mode,
            leverage=self.leverage,
            opening_balance=self.balance,
            margin_call_levels=(Decimal(90),),
            stop_out_level=Decimal(50),
            stop_out_order=StopOutOrder.MOST_LOSING_FIRST,
            commission_at_close=False,
        )


class Mt5Symbol(StrictModel):
    """How a symbol is dealt in MetaTrader.

    Attributes
    ----------
    filling
        Bits FOK 1, IOC 2, BOC 4. Pepperstone's currencies take IOC (reported).
    execution
        0 request, 1 instant, 2 market, 3 exchange.
    order_mode, expiration
        Bits as in the module: 127 = every kind, 15 = every lifetime.
    volume_limit_lots
        Most lots in one direction, 0 = any.
    swap_mode
        0-8 as in the module; None = the symbol's own. 7 and 8 re-open every position at the rollover.
    swap_reopens
        A position gets a new ticket at every rollover, whatever its swap mode.
    rollover_halt
        No trading (10018) in the two minutes around the server's midnight, where the symbol's hours have that pause, as
        Pepperstone publishes for currencies; False trades through it.
    """

    filling: int = Field(IOC, ge=0, le=7)
    execution: int = Field(MARKET, ge=0, le=3)
    order_mode: int = Field(127, ge=0, le=127)
    expiration: int = Field(15, ge=0, le=15)
    stops_level: int = Field(0, ge=0)
    freeze_level: int = Field(0, ge=0)
    trade_mode: int = Field(4, ge=0, le=4)
    volume_limit_lots: float = Field(0.0, ge=0)
    swap_mode: int | None = Field(None, ge=0, le=8)
    swap_reopens: bool = False
    rollover_halt: bool = True


class Mt5Settings(StrictModel):
    """The terminal and what is special about its broker.

    Attributes
    ----------
    port
        Loopback port of the pipe; 0 takes a free one.
    symbol_dump
        A file of ``pepperstone probe mt5 --symbols``: the terminal then has exactly those symbols, as they are dealt at
        the broker; `symbols` still changes single ones. The tape's prices reach those that the sandbox knows by name.
    login
        Which account the terminal shows at the start.
    suffix
        Added to every symbol name (``.a``), as some entities do.
    deal_lag_ms, position_lag_ms
        History or positions follow the truth so late; sizes unconfirmed.
    deal_in_answer
        `order_send` names the deal; a lagging server says 0.
    first_history_empty
        The first copy_* call of a symbol finds nothing yet, the second less than all.
    first_tick_zero
        The first tick after a symbol was selected is 0/0.
    tick_flag_bits
        Undocumented high bits seen in live flags.
    overwrite_comment
        The broker writes its own comment on every order.
    level_deals_keep_magic
        Deals of stop loss and take profit carry the position's magic number (varied by build).
    hold_gil
        The module blocks every thread of its process while it waits, as the real one does.
    """

    port: int = Field(5055, ge=0, le=65535)
    accounts: Annotated[tuple[Mt5Account, ...], Field(min_length=1)] = (
        Mt5Account(login=3_000_001),
        Mt5Account(login=3_000_002, mode=PositionMode.NETTING, currency="EUR"),
    )
    login: int | None = None
    server: str = "Sandbox-MT5"
    company: str = "Sandbox"
    build: int = 5430
    suffix: str = Field("", max_length=8)
    symbol_dump: RelativePath | None = None
    symbol: Mt5Symbol = Mt5Symbol()
    symbols: dict[str, dict[str, Any]] = Field(default_factory=dict)
    selected: tuple[str, ...] = ()
    maxbars: int = Field(100_000, gt=0)
    keep_ticks: int = Field(2_000_000, gt=0)
    deal_lag_ms: float = Field(0.0, ge=0)
    position_lag_ms: float = Field(0.0, ge=0)
    deal_in_answer: bool = True
    first_history_empty: bool = False
    first_tick_zero: bool = False
    tick_flag_bits: int = 0x400
    overwrite_comment: str | None = Field(None, max_length=31)
    level_deals_keep_magic: bool = True
    hold_gil: bool = False
    requests_per_s: int = Field(0, ge=0, description="10024 above so many trade requests a second; 0 = never")
    slippage_points_max: int = Field(0, ge=0)

    def rules(self, seed: int) -> LedgerRules:
        """House rules of the ledger under MetaTrader: levels make no orders, a position carries its order's ticket."""
        return LedgerRules(
            protection_orders=False,
            tickets=TicketScheme.ORDER_IS_POSITION,
            marketable_limits_fill=False,
            slippage_points_max=self.slippage_points_max,
            first_order_id=80_000_001,
            first_deal_id=60_000_001,
            seed=seed,
        )

    def of(self, symbol: str) -> Mt5Symbol:
        return Mt5Symbol.model_validate(self.symbol.model_dump() | self.symbols.get(symbol, {}))

"""The simulated venue: an engine with one Pepperstone account in it, and the parts that make it one.

    venue = SimulatedVenue(plan, start_ns)
    venue.add_strategy(strategy)
    venue.engine.run(...)

The framework's own margin check is off (instruments carry no margin), because it knows neither tiers nor hedged positions
of one symbol; `account` makes ours. Everything else runs on the framework's extension points, nothing inside it is patched.
"""

import hashlib
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import StaticLatencyModel
from nautilus_trader.model import AccountType, Currency, Money, OmsType, TraderId, Venue
from nautilus_trader.portfolio import PortfolioConfig
from nautilus_trader.risk import RiskEngineConfig

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.mapping.instruments import instrument_from_spec
from pepperstone_adapter.simulation.account import Account
from pepperstone_adapter.simulation.books import Books
from pepperstone_adapter.simulation.broker import Broker
from pepperstone_adapter.simulation.cash import cash_instrument, cash_quote
from pepperstone_adapter.simulation.curve import Curve
from pepperstone_adapter.simulation.desk import OrderDesk
from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.fees import AccountFees
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.grid import Grid
from pepperstone_adapter.simulation.guard import guard
from pepperstone_adapter.simulation.plan import RunPlan
from pepperstone_adapter.simulation.rates import Rates
from pepperstone_adapter.simulation.record import LedgerKind, RunRecord
from pepperstone_adapter.simulation.recorder import Recorder
from pepperstone_adapter.simulation.tape import Tape

MS = 1_000_000


class SimulatedVenue:
    """One engine, one account."""

    def __init__(self, plan: RunPlan, start_ns: int) -> None:
        self.plan = plan
        self.venue = Venue(plan.venue)
        specs = {spec.name: spec for spec in plan.specs}
        self.tapes = {name: Tape(spec) for name, spec in specs.items()}
        self.failures = Failures(lambda: self.broker.now_ns())
        self.record = record = RunRecord(
            account_currency=plan.currency, start_balance=plan.start_balance, venue=plan.venue, start_ns=start_ns
        )
        rates = Rates(self.tapes)
        grids = {name: Grid(spec) for name, spec in specs.items()}
        self.books = books = Books(plan.currency, grids, rates.mid, netting=plan.mode is PositionMode.NETTING)
        books.post(
            start_ns, LedgerKind.DEPOSIT.value, books.in_minor(plan.start_balance), plan.currency, "1", ("", "", "")
        )
        self.fills = AccountFills(plan.slippage, plan.seed, self.tapes, lambda: self.broker.now_ns(), self.failures)
        self.fees = AccountFees(
            specs, grids, plan.terms.commissions, plan.currency, self.venue,
            lambda source, target: rates.mid(source, target, self.broker.now_ns()), self.failures,
        )  # fmt: skip
        self.recorder = Recorder(record, books, grids, self.fees, self.fills, self.venue, self.failures)
        self.curve = Curve(
            specs, self.tapes, books, record, plan.equity_step_s, lambda *held: self.account.margin.of(*held)
        )
        record.ledger, record.positions = books.ledger, self.curve.positions
        record.fills, record.orders = self.recorder.fills, self.recorder.orders
        record.equity = self.curve.points
        self.account = Account(
            specs, self.tapes, rates, plan.terms, plan.mode, books, grids, self.recorder, self.failures, plan.venue,
            start_ns, plan.slippage, round(plan.latency.base_ms * MS), _jitter(plan),
        )  # fmt: skip
        self.fills.refused = self.account.refuse_at_trigger
        self._cash = cash_instrument(plan.venue, plan.currency)
        desk = OrderDesk(
            plan.terms.times_in_force, netting=plan.mode is PositionMode.NETTING, only_market=plan.only_market_orders
        )
        self.broker = Broker(self.account, self.fees, self.fills, self._cash.id, desk)
        self.engine = self._engine()
        self.recorder.cache = self.fees.cache = self.engine.cache
        # The broker is the first strategy: its timers of a time run before those of the others.
        self.engine.add_exec_algorithm(desk)
        self.engine.add_strategy(self.broker)
        self.add_pulse(start_ns)

    def add_strategy(self, strategy: Any) -> None:
        self.engine.add_strategy(guard(strategy, self.account))
        self.account.turns.strategies.append(strategy)

    def close(self) -> None:
        """Dispose of the engine and let go of it: it holds our models, they hold us, and no collector sees that circle.

        A process can hold 255 engines; each that is kept also keeps its data.
        """
        self.engine.dispose()
        del self.engine
        self.recorder.cache = self.fees.cache = None

    def settle(self, end_ns: int) -> None:
        """After a window of data: compare the balances, value the account over the window, and put the rows away."""
        self.account.settle(end_ns)
        self.recorder.purge()
        self.recorder.window(end_ns)
        self.curve.window(end_ns, self.recorder.closed, self.broker.leaving)
        self.recorder.closed.clear()
        curve, recorder = self.curve, self.recorder
        for table in (self.books.ledger, curve.positions, curve.points, recorder.fills, recorder.orders):
            table.pack()

    @property
    def latest_arrival_ns(self) -> int:
        """The longest a command can be on its way."""
        latency = self.plan.latency
        return round((latency.base_ms + latency.jitter_ms) * MS)

    def add_pulse(self, ts_ns: int) -> None:
        """A row of CASH: lets the engine's time reach `ts_ns` where there is no data."""
        self.engine.add_data([cash_quote(self._cash.id, ts_ns)])

    def _engine(self) -> BacktestEngine:
        plan = self.plan
        engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=TraderId("BACKTEST-001"),
                logging=_logging(plan),
                run_analysis=False,
                # The desk makes the broker's checks. The framework's own would refuse even our posting that resets a
                # negative balance, and would throttle a strategy that places more than a hundred orders a second.
                risk_engine=RiskEngineConfig(bypass=True),
                portfolio=PortfolioConfig(equity_curve=False),  # `curve` keeps ours
            )
        )
        currency = Currency.from_str(plan.currency)
        latency = round(plan.latency.base_ms * MS)
        engine.add_venue(
            self.venue,
            OmsType.NETTING if plan.mode is PositionMode.NETTING else OmsType.HEDGING,
            AccountType.MARGIN,
            [Money.from_decimal(plan.start_balance, currency)],
            base_currency=currency,
            fill_model=self.fills,
            fee_model=self.fees,
            # Inside a bar the nearer extreme comes first: open, low, high, close for most rising bars.
            bar_adaptive_high_low_ordering=True,
            bar_execution=not plan.only_market_orders,
            latency_model=StaticLatencyModel(base_latency_nanos=latency) if latency else None,
        )
        for spec in plan.specs:
            engine.add_instrument(
                instrument_from_spec(
                    spec,
                    plan.venue,
                    commission=plan.terms.commissions.get(spec.name),
                    leverage_tiers=plan.terms.leverage.get(spec.name),
                )
            )
        engine.add_instrument(self._cash)
        return engine


def _logging(plan: RunPlan) -> LoggerConfig:
    """The strategies' own lines: the framework's would bury them."""
    if plan.log_level is None:
        return LoggerConfig(bypass_logging=True)
    # A strategy without a tag is numbered when it is added; the broker is the first.
    names = (str(s.strategy_id).replace("-None", f"-{i:03d}") for i, s in enumerate(plan.strategies, start=1))
    return LoggerConfig(
        stdout_level=LogLevel.from_str(plan.log_level),
        component_levels=dict.fromkeys(names, plan.log_level),
        log_components_only=True,
        is_colored=False,
    )


def _jitter(plan: RunPlan) -> Any:
    """Delay in nanoseconds for an order, drawn from the seed and the order's id."""
    span = round(plan.latency.jitter_ms * MS)
    if not span:
        return None

    def draw(client_order_id: str) -> int:
        digest = hashlib.sha256(f"{plan.seed}|latency|{client_order_id}".encode()).digest()
        return int.from_bytes(digest[:8]) % (span + 1)

    return draw

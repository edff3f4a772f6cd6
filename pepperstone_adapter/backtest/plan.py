"""Settings into a `RunPlan`: symbols looked up, the account's terms resolved, every strategy's file found."""

from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.backtest.settings import BacktestSettings, SlippageSettings
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.strategy_settings import StrategySettings
from pepperstone_adapter.simulation.plan import (
    AccountTerms,
    Latency,
    RunPlan,
    Slippage,
    SpreadTable,
    StoredBars,
    StoredQuotes,
)
from pepperstone_adapter.simulation.profile import Profile
from pepperstone_adapter.simulation.spread_table import HOURS_A_WEEK

MIN_CHUNK_ROWS = 2_000
_UNITS = {"M": "MINUTE", "H": "HOUR", "D": "DAY", "W": "WEEK"}


def run_plan(
    settings: BacktestSettings, on_progress: Callable[[int, float], None] | None = None, rows: int | None = None
) -> RunPlan:
    """The plan of a run.

    Parameters
    ----------
    on_progress
        Called after each chunk of data with the simulated time and the share done.
    rows
        Rows the run will read, where known: chunks are then small enough to show progress.

    Raises
    ------
    ConfigurationError
        A symbol without a typical spread whose ASK is not stored, or a leverage class the profile does not know.
    """
    specs = specs_of(settings)
    data, account, market = settings.data, settings.account, settings.market
    return RunPlan(
        specs=specs,
        data=tuple(
            StoredQuotes(catalog=data.catalog, symbol=spec.name)
            if data.bar_period is None
            else StoredBars(catalog=data.catalog, symbol=spec.name, period=framework_period(data.bar_period))
            for spec in specs
        ),
        strategies=tuple(strategy_of(s) for s in settings.strategies),
        terms=terms_of(settings, specs),
        currency=account.currency,
        start_balance=account.balance,
        mode=account.mode,
        seed=market.seed,
        slippage={spec.name: _slippage(market.slippage, spec.name) for spec in specs},
        latency=Latency(base_ms=market.latency.base_ms, jitter_ms=market.latency.jitter_ms),
        start_ns=data.start_ns,
        end_ns=data.end_ns,
        chunk_size=data.chunk_rows if rows is None else chunk_rows(data.chunk_rows, rows),
        only_market_orders=market.only_market_orders,
        equity_step_s=equity_step_s(data.end_ns - data.start_ns),
        on_progress=on_progress,
        log_level=settings.output.log,
    )


def specs_of(settings: BacktestSettings) -> tuple[SymbolSpec, ...]:
    """The symbols of a run, in the order of the settings."""
    table = symbol_table.load(settings.symbols, settings.told_specs())
    return tuple(symbol_table.find(table, name) for name in settings.data.instruments)


def terms_of(settings: BacktestSettings, specs: tuple[SymbolSpec, ...]) -> AccountTerms:
    """The profile's terms with the settings' spreads."""
    account, spread = settings.account, settings.market.spread
    profile = Profile.load(
        {
            "profile": account.profile,
            "platform": account.platform,
            "currency": account.currency,
            "mode": account.mode.value,
            "leverage": account.leverage,
        }
    )
    terms = profile.terms(specs, {n: SpreadTable(points=(p,) * HOURS_A_WEEK) for n, p in spread.points.items()})
    if spread.scale == 1:
        return terms
    scale = Decimal(str(spread.scale))
    scaled = {
        name: SpreadTable(points=tuple(int((p * scale).quantize(Decimal(1), ROUND_HALF_UP)) for p in table.points))
        for name, table in terms.spreads.items()
    }
    return replace(terms, spreads=scaled)


def strategy_of(settings: StrategySettings) -> Strategy:
    """The strategy with its configuration.

    Raises
    ------
    ConfigurationError
        Not a framework `Strategy`, no configuration class, or a configuration it does not accept.
    """
    try:
        return settings.build(Strategy, StrategyConfig)
    except ConfigurationError as e:
        if "BarType" not in str(e):
            raise
        sizes = ", ".join(framework_period(period) for period in BarPeriod if period is not BarPeriod.MN1)
        raise ConfigurationError(f"{e}; EURUSD.PEPPERSTONE-SIZE-BID-EXTERNAL wants a size of {sizes}") from e


def chunk_rows(most: int, total: int) -> int:
    """Rows in memory at a time: a fortieth of `total`, but worth a call of the engine, and never above `most`."""
    return min(most, max(total // 40, MIN_CHUNK_ROWS))


def equity_step_s(span_ns: int) -> int:
    """Spacing of the equity samples: whole minutes, about 20,000 over the period, at most an hour apart."""
    minutes = span_ns // (60 * 10**9) // 20_000
    return 60 * min(max(minutes, 1), 60)


def framework_period(period: BarPeriod) -> str:
    """The framework's name of a bar size: H1 is ``1-HOUR``."""
    return f"{period.value[1:]}-{_UNITS[period.value[0]]}"


def _slippage(settings: SlippageSettings, name: str) -> Slippage:
    own = settings.symbols.get(name, settings)
    return Slippage(probability=own.probability, min_points=own.min_points, max_points=own.max_points)

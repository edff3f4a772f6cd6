"""Strategy settings as YAML gives them: text and numbers in, typed values out, nonsense refused with its name."""

from decimal import Decimal
from typing import Any

import pytest
import yaml
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.model import BarType, InstrumentId
from nautilus_trader.trading import ImportableStrategyConfig, StrategyConfig

from strategies.donchian_breakout import DonchianBreakout, DonchianBreakoutConfig
from strategies.ema_cross import EmaCross, EmaCrossConfig
from strategies.mean_reversion import MeanReversion, MeanReversionConfig

BAR_TYPE = "EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"
PAIRS = [(EmaCross, EmaCrossConfig), (DonchianBreakout, DonchianBreakoutConfig), (MeanReversion, MeanReversionConfig)]
each = pytest.mark.parametrize(("strategy", "config"), PAIRS, ids=[s.__name__ for s, _ in PAIRS])


@each
def test_from_yaml(strategy: Any, config: Any) -> None:
    text = f"{{bar_type: {BAR_TYPE}, instrument_id: EURUSD.PEPPERSTONE, risk_percent: 0.1, order_id_tag: '007'}}"

    made = config(**yaml.safe_load(text))

    assert isinstance(made, StrategyConfig)
    assert made.bar_type == BarType.from_str(BAR_TYPE)
    assert made.instrument_id == InstrumentId.from_str("EURUSD.PEPPERSTONE")
    assert made.risk_percent == Decimal("0.1")  # not 0.1000000000000000055
    assert made.order_id_tag == "007"
    assert made.units is None
    assert made.close_on_stop is False
    strategy(made)


@each
def test_numbers_may_be_text_and_objects_may_be_objects(strategy: Any, config: Any) -> None:
    made = config(bar_type=BarType.from_str(BAR_TYPE), units="100000", risk_percent="2")

    assert (made.units, made.risk_percent) == (Decimal(100_000), Decimal(2))


@each
def test_an_unknown_setting_is_refused_by_name(strategy: Any, config: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'riskpercent'"):
        config(bar_type=BAR_TYPE, riskpercent=1)


@each
def test_a_foreign_instrument_is_refused(strategy: Any, config: Any) -> None:
    with pytest.raises(ValueError, match=r"GBPUSD\.PEPPERSTONE is not the instrument of bar_type EURUSD"):
        config(bar_type=BAR_TYPE, instrument_id="GBPUSD.PEPPERSTONE")


@pytest.mark.parametrize(
    ("config", "changes", "said"),
    [
        (EmaCrossConfig, {"fast_period": 20, "slow_period": 20}, "fast_period 20 must be below slow_period 20"),
        (EmaCrossConfig, {"atr_period": 0}, "all above 0"),
        (EmaCrossConfig, {"stop_atr": 0}, "stop_atr and target_atr must be above 0"),
        (EmaCrossConfig, {"risk_percent": 101}, "risk_percent above 0 and up to 100"),
        (EmaCrossConfig, {"session": "8 to 5"}, "session '8 to 5' is not HH:MM-HH:MM"),
        (DonchianBreakoutConfig, {"channel": 1}, "channel 1 must be at least 2"),
        (DonchianBreakoutConfig, {"trail_atr": -1}, "stop_atr and trail_atr must be above 0"),
        (DonchianBreakoutConfig, {"risk_percent": 0}, "risk_percent above 0"),
        (MeanReversionConfig, {"period": 1}, "period 1 must be at least 2"),
        (MeanReversionConfig, {"width": 0}, "width 0 above 0"),
        (MeanReversionConfig, {"partial_percent": 120}, "both percentages up to 100"),
    ],
)
def test_senseless_values_are_refused(config: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(bar_type=BAR_TYPE, **changes)


@each
def test_the_framework_builds_it_from_its_path(strategy: Any, config: Any) -> None:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(bypass_logging=True)))

    importable = ImportableStrategyConfig(
        strategy_path=f"{strategy.__module__}:{strategy.__name__}",
        config_path=f"{config.__module__}:{config.__name__}",
        config={"bar_type": BAR_TYPE, "units": 1000, "order_id_tag": "X1"},
    )
    engine.add_strategy_from_config(importable)

    # the only way to see that it is there, under the name its settings give
    with pytest.raises(RuntimeError, match=f"Strategy {strategy.__name__}-X1 is already registered"):
        engine.add_strategy_from_config(importable)
    engine.dispose()

"""What `MeanReversion` has kept of a position that an earlier run opened; its rules are tested in tests/backtest."""

from nautilus_trader.model import Bar

from strategies.mean_reversion import MeanReversion, MeanReversionConfig
from tests.kit.price_path import Ohlc, bar_type, trade

# Bands of 4 bars, two deviations wide: 1.0995 and 1.1015; the fifth bar fills the buy, the sixth closes above the mean.
BARS: list[Ohlc] = [
    (1.1005, 1.1010, 1.0990, 1.1000),
    (1.1000, 1.1020, 1.1000, 1.1010),
    (1.1010, 1.1010, 1.0990, 1.1000),
    (1.1000, 1.1020, 1.1000, 1.1010),
    (1.1010, 1.1010, 1.0990, 1.1000),
    (1.1000, 1.1010, 1.0998, 1.1008),
    (1.1008, 1.1010, 1.1004, 1.1008),
]


class Restarted(MeanReversion):
    """Remembers nothing from bar to bar, as one that a restart begins anew."""

    def on_bar(self, bar: Bar) -> None:
        self._partials.clear()
        super().on_bar(bar)


def test_a_position_that_has_had_its_partial_close_gets_no_second_one_after_a_restart() -> None:
    config = MeanReversionConfig(
        bar_type=bar_type("EURUSD"), period=4, width=2, atr_period=3, stop_atr=2, units=100_000
    )
    partial = ("MARKET", "SELL", "50000", "1.10080")
    assert [fill for fill in trade(Restarted(config), BARS).filled() if fill[0] == "MARKET"] == [partial]

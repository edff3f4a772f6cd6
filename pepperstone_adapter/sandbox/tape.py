"""Where prices come from: a seeded random walk, the catalog's quotes and bars, or plain lists in tests.

A tape is an iterator of `TapeTick` in order of time. It knows no clock; whoever plays it decides the speed.

The walk moves the *value of each asset* (in US dollars), not of each symbol, so that EURGBP is always EURUSD / GBPUSD
up to a point: a strategy cannot earn money from triangles that no market has. Volatility is about 0.6 % a day on
currencies and 1 % on everything else.
"""

import math
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pepperstone_adapter.broker.symbols import AssetClass, SymbolSpec

NS = 1_000_000_000
DAY_S = 86_400

#: Where a walk starts, in US dollars; only the order of magnitude matters.
_START_USD = {
    "USD": 1.0, "EUR": 1.08, "GBP": 1.27, "AUD": 0.66, "NZD": 0.61, "CAD": 0.73, "CHF": 1.12, "JPY": 1 / 150,
    "SEK": 0.095, "NOK": 0.094, "SGD": 0.74, "HKD": 0.128, "MXN": 0.055, "ZAR": 0.055, "CNH": 0.138, "PLN": 0.25,
    "XAU": 2_400.0, "XAG": 29.0, "NAS100": 18_000.0, "US500": 5_200.0, "US30": 39_000.0, "GER40": 18_500.0 * 1.08,
    "UK100": 8_200.0 * 1.27, "JPN225": 38_500.0 / 150, "BTCUSD": 65_000.0, "ETHUSD": 3_400.0, "BTC": 65_000.0,
    "ETH": 3_400.0, "SpotBrent": 83.0, "SpotCrude": 79.0, "NatGas": 2.6,
}  # fmt: skip
_DAILY = {AssetClass.FX: 0.006}
_SPREAD = {AssetClass.FX: 1.5e-5, AssetClass.METAL: 6e-5, AssetClass.INDEX: 6e-5, AssetClass.CRYPTO: 3e-4}


class TapeTick(NamedTuple):
    """One two-sided price, in points of the symbol; `ts_ns` in UTC."""

    ts_ns: int
    symbol: str
    bid_points: int
    ask_points: int


class TapeBar(NamedTuple):
    """One minute of the bid, in points; `minute` counts from 1970 in UTC."""

    minute: int
    symbol: str
    open: int
    high: int
    low: int
    close: int
    volume: int


class RandomWalk:
    """Endless prices. Same specs, seed and start: same tape.

    Parameters
    ----------
    ticks_per_s
        Over all symbols together.
    """

    def __init__(self, specs: Iterable[SymbolSpec], seed: int, start_ns: int, ticks_per_s: float) -> None:
        self._specs = list(specs)
        self._random = random.Random(seed)  # noqa: S311 - repeatable prices, not a secret
        self._start_ns = start_ns
        self._gap_ns = NS / ticks_per_s
        self._value = {s.base_currency: _START_USD.get(s.base_currency, 100.0) for s in self._specs}
        self._value |= {s.quote_currency: _START_USD.get(s.quote_currency, 1.0) for s in self._specs}
        self._value["USD"] = 1.0

    def history(self, days: int, end_ns: int) -> Iterator[TapeBar]:
        """Minute bars of the `days` before `end_ns`, in open hours, symbol by symbol; they end where the walk begins.

        Each symbol walks backwards from the value it starts with, so history and tape join without a jump.
        """
        end_minute = end_ns // NS // 60
        for spec in self._specs:
            sigma = _DAILY.get(spec.asset_class, 0.01) / math.sqrt(1_440)
            # Its own generator: more history must not change the tape that follows.
            dice = random.Random(f"{spec.name}/{days}")  # noqa: S311
            open_minutes = [
                minute
                for start, end in spec.hours.open_intervals((end_minute - days * 1_440) * 60 * NS, end_minute * 60 * NS)
                for minute in range(start // NS // 60, end // NS // 60)
            ]
            price = self._points(spec, self._value[spec.base_currency] / self._value[spec.quote_currency])
            bars: list[TapeBar] = []
            for minute in reversed(open_minutes):
                close = price
                wing = abs(dice.gauss(0.0, sigma)) * close / 2
                opened = max(1, round(close * (1 + dice.gauss(0.0, sigma))))
                high = max(opened, close) + round(wing * dice.random())
                low = max(1, min(opened, close) - round(wing * dice.random()))
                bars.append(TapeBar(minute, spec.name, opened, high, low, close, dice.randint(20, 200)))
                price = opened
            yield from reversed(bars)

    def __iter__(self) -> Iterator[TapeTick]:
        dice, specs = self._random, self._specs
        step = {
            s.name: _DAILY.get(s.asset_class, 0.01) / math.sqrt(DAY_S * NS / self._gap_ns / len(specs)) for s in specs
        }
        for spec in specs:  # a first price for everyone, so that every conversion has a path
            yield self._tick(spec, self._start_ns)
        count = 0
        while True:
            count += 1
            ts_ns = self._start_ns + round(count * self._gap_ns)
            spec = specs[dice.randrange(len(specs))]
            moved = spec.base_currency if spec.base_currency != "USD" else spec.quote_currency
            self._value[moved] *= math.exp(dice.gauss(0.0, step[spec.name]))
            if spec.hours.is_open(ts_ns):
                yield self._tick(spec, ts_ns)

    def _tick(self, spec: SymbolSpec, ts_ns: int) -> TapeTick:
        mid = self._value[spec.base_currency] / self._value[spec.quote_currency]
        bid = self._points(spec, mid)
        spread = max(1, round(bid * spread_share(spec) * (0.7 + 0.6 * self._random.random())))
        return TapeTick(ts_ns, spec.name, bid, bid + spread)

    @staticmethod
    def _points(spec: SymbolSpec, price: float) -> int:
        return max(1, round(price * float(10**spec.digits)))


def spread_share(spec: SymbolSpec) -> float:
    """A plain spread, as a share of the price."""
    return _SPREAD.get(spec.asset_class, 2e-4)


def shifted(ticks: Iterable[TapeTick], by_ns: int) -> Iterator[TapeTick]:
    """The same tape at another time."""
    for tick in ticks:
        yield tick._replace(ts_ns=tick.ts_ns + by_ns)


def whole_weeks(first_ns: int, now_ns: int) -> int:
    """The shift by whole weeks that brings `first_ns` nearest at or before `now_ns`: hours of the week stay."""
    week = 7 * DAY_S * NS
    return (now_ns - first_ns) // week * week

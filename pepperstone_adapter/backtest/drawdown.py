"""Drawdowns of a balance or equity curve, in the three readings of the field.

*Absolute*: how far the curve fell below where it started. *Maximal*: the largest fall from a peak in money (and what
part of that peak it was). *Relative*: the largest fall from a peak as a part of the peak (and what it was in money);
the two need not be the same fall. An *episode* runs from a peak through its lowest point to the first value at or above
the peak again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Episode:
    """One fall. `recovered_ns` is None when the curve ends below the peak; `pct` is of the peak."""

    peak_ns: int
    peak: Decimal
    trough_ns: int
    trough: Decimal
    recovered_ns: int | None

    @property
    def depth(self) -> Decimal:
        return self.peak - self.trough

    @property
    def pct(self) -> Decimal:
        """Percent of the peak; zero for a peak that is not positive."""
        return self.depth / self.peak * 100 if self.peak > 0 else ZERO


@dataclass(frozen=True, slots=True)
class Drawdowns:
    """All falls of a curve. `underwater_pct` is the share of time spent below an earlier peak (a value holds until the
    next one)."""

    absolute: Decimal
    episodes: tuple[Episode, ...]
    underwater_pct: float

    @property
    def maximal(self) -> Episode | None:
        return max(self.episodes, key=lambda e: (e.depth, -e.peak_ns), default=None)

    @property
    def relative(self) -> Episode | None:
        return max(self.episodes, key=lambda e: (e.pct, -e.peak_ns), default=None)

    def top(self, count: int) -> list[Episode]:
        """The deepest episodes in money, deepest first, earlier first among equals."""
        return sorted(self.episodes, key=lambda e: (-e.depth, e.peak_ns))[:count]


def drawdowns(times_ns: Sequence[int], values: Sequence[Decimal]) -> Drawdowns:
    """Falls of the curve `values` over `times_ns` (ascending, same length, first value = the start).

    An empty or single-point curve has none.
    """
    if not values:
        return Drawdowns(ZERO, (), 0.0)
    episodes: list[Episode] = []
    below_ns = fell_ns = 0
    peak, peak_ns = values[0], times_ns[0]
    trough, trough_ns = peak, peak_ns
    for ts_ns, value in zip(times_ns, values, strict=True):
        if value >= peak:
            if trough < peak:
                episodes.append(Episode(peak_ns, peak, trough_ns, trough, ts_ns))
                below_ns += ts_ns - fell_ns
            peak, peak_ns = value, ts_ns
            trough, trough_ns = value, ts_ns
        elif value < trough:
            fell_ns = ts_ns if trough == peak else fell_ns
            trough, trough_ns = value, ts_ns
    if trough < peak:
        episodes.append(Episode(peak_ns, peak, trough_ns, trough, None))
        below_ns += times_ns[-1] - fell_ns
    span_ns = times_ns[-1] - times_ns[0]
    return Drawdowns(
        absolute=max(values[0] - min(values), ZERO),
        episodes=tuple(episodes),
        underwater_pct=100 * below_ns / span_ns if span_ns else 0.0,
    )

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.common.backoff import Backoff


def test_delays_double_up_to_the_ceiling_without_jitter() -> None:
    backoff = Backoff(initial_s=1, factor=2, max_s=10, jitter=0)
    assert [backoff.delay_s(n, lambda: 0.9) for n in range(6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_away_its_share_at_most() -> None:
    backoff = Backoff(initial_s=4, factor=2, max_s=60, jitter=0.5)
    assert backoff.delay_s(0, lambda: 0.0) == 4  # nothing taken
    assert backoff.delay_s(0, lambda: 1.0) == 2  # half of it taken


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_any_attempt_stays_in_bounds(attempt: int, random: float) -> None:
    assert 0.5 <= Backoff().delay_s(attempt, lambda: random) <= 60


@pytest.mark.parametrize("bad", [{"initial_s": 0}, {"factor": 0.5}, {"max_s": 0.1}, {"jitter": 1.5}])
def test_a_nonsense_policy_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        Backoff(**bad)


def test_attempts_count_from_zero() -> None:
    with pytest.raises(ValueError, match="counts from 0"):
        Backoff().delay_s(-1, lambda: 0.0)

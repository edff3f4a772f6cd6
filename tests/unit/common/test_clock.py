import pytest

from pepperstone_adapter.common.clock import ManualClock, SystemClock


def test_manual_clock_moves_both_hands_and_steps_only_the_wall() -> None:
    clock = ManualClock(start_ns=1_000)
    clock.advance(1.5)
    assert (clock.now_ns(), clock.monotonic_s()) == (1_500_001_000, 1.5)
    clock.step_wall(-300)
    assert (clock.now_ns(), clock.monotonic_s()) == (-298_499_999_000, 1.5)


def test_manual_clock_refuses_to_run_back() -> None:
    with pytest.raises(ValueError, match="run back"):
        ManualClock().advance(-1)


def test_system_clock_reads_wall_nanoseconds_and_a_rising_monotonic_second() -> None:
    clock = SystemClock()
    assert clock.now_ns() > 1_700_000_000_000_000_000
    assert clock.monotonic_s() <= clock.monotonic_s()

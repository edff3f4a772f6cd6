from pepperstone_adapter.common.clock import SystemClock


def test_system_clock_reads_wall_nanoseconds_and_a_rising_monotonic_second() -> None:
    clock = SystemClock()
    assert clock.now_ns() > 1_700_000_000_000_000_000
    assert clock.monotonic_s() <= clock.monotonic_s()

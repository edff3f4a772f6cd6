from pepperstone_adapter.common.clock import SystemClock


def test_system_clock_reads_wall_nanoseconds() -> None:
    assert SystemClock().now_ns() > 1_700_000_000_000_000_000

"""UTC nanoseconds as text."""

from datetime import UTC, datetime

NS = 1_000_000_000


def iso(ts_ns: int) -> str:
    """``2024-03-10T21:00:00Z``; the fraction only where there is one."""
    seconds, rest = divmod(ts_ns, NS)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z" if rest else f"{text}Z"

"""Our choice of the framework's execution engine options, and why each is the safe one.

The framework settles open questions by itself after some silence: an unanswered submit becomes rejected, an unanswered
cancel becomes cancelled, also when the link was down all the time. A fill that comes later is then refused, and the
position is real but unknown. Here the reconciler asks the broker instead (`reconciliation.py`); those checks are off.
"""

from typing import Any

from nautilus_trader.live import LiveExecutionEngineConfig, SubmissionRecoveryPolicy

from pepperstone_adapter.common.settings_errors import did_you_mean

SAFE: dict[str, tuple[Any, str]] = {
    "reconciliation": (True, "without it the node starts blind to open positions and orders"),
    "submission_recovery_policy": (
        SubmissionRecoveryPolicy.RETAIN_UNRESOLVED,
        "an unanswered order would be declared rejected while it may be live",
    ),
    "inflight_check_interval_ms": (0, "an unanswered cancel or amend would be declared cancelled on silence"),
    "open_check_interval_secs": (None, "an order missing from one snapshot would be closed locally"),
    "position_check_interval_secs": (None, "a position difference would be closed by an invented fill"),
    "generate_missing_orders": (True, "a position whose deals are out of reach would not be shown"),
    "filter_position_reports": (False, "positions of the account would be hidden"),
    "filter_unclaimed_external_orders": (False, "manual trades would be hidden from margin and exposure"),
    "allow_overfills": (False, "a deal counted twice would pass"),
    "load_cache": (False, "there is no cache database with Python clients"),
}
FREE = {"reconciliation_startup_delay_secs": 0.0}


def engine_config(overrides: dict[str, Any]) -> LiveExecutionEngineConfig:
    """The engine options; `overrides` replace single ones, the policy by its name.

    Raises `ValueError` with the option's name where the framework has no such option or does not take its value.
    """
    values: dict[str, Any] = {name: value for name, (value, _) in SAFE.items()} | FREE
    for name, value in overrides.items():
        if not hasattr(LiveExecutionEngineConfig, name):
            known = [option for option in dir(LiveExecutionEngineConfig) if not option.startswith("_")]
            hint = did_you_mean(name, known) or f"; options: {', '.join(known)}"
            raise ValueError(f"the framework's engine has no option '{name}'{hint}")
        values[name] = _policy(value) if name == "submission_recovery_policy" else value
        try:
            LiveExecutionEngineConfig(**{name: values[name]})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name}: {value!r} is no value for this option ({error})") from None
    return LiveExecutionEngineConfig(**values)


def _policy(value: Any) -> Any:
    return getattr(SubmissionRecoveryPolicy, value, value) if isinstance(value, str) else value


def unsafe_overrides(overrides: dict[str, Any]) -> list[str]:
    """One warning for each safe choice that is overridden by another value."""
    return [
        f"engine option {name} = {overrides[name]!r} instead of {value!r}: {why}"
        for name, (value, why) in SAFE.items()
        if name in overrides and _policy(overrides[name]) != value
    ]

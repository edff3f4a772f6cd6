"""The three keys of live trading, and how an account is shown.

Real money moves only when three things agree: `environment: live` in the settings, the account number in the settings
equal to the one the broker reports as live, and `--confirm-live` with the same number on the command line. Everything
else is refused before an order can leave. Demo is the default.
"""

import secrets

from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
from pepperstone_adapter.common.errors import ConfigurationError

RUN_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
STEPS = (
    "live trading needs three keys: `environment: live` in the settings, `account:` with your live account number, "
    "and `--confirm-live ACCOUNT` with the same number on the command line"
)


def masked(account_number: str) -> str:
    """An account number as logs and titles show it: the last four digits at most, never more than half."""
    shown = min(4, len(account_number) // 2)
    return "x" + account_number[-shown:] if shown else "x"


def label(environment: Environment, account_number: str) -> str:
    """What every log line carries: ``DEMO-x1234``."""
    return f"{environment.value.upper()}-{masked(account_number)}"


def node_name(environment: Environment, account_number: str) -> str:
    """The framework's name of one run of a node, on every log line: ``DEMO-x1234-k3fq``.

    Its last part is new in each run and stands in every order id (``O-20260105-090000-k3fq-000-1``). The framework
    counts orders from 1 and knows the time to the second, so two nodes that trade the same bar would send equal ids,
    and each would take the other's orders for its own. What an order of an earlier run is called stays as it was: the
    id store knows it.
    """
    run = "".join(secrets.choice(RUN_LETTERS) for _ in range(4))  # one in a million, within one second
    return f"{label(environment, account_number)}-{run}"


def check_before_connecting(environment: Environment, account_number: str, confirm_live: str | None) -> None:
    """The keys that can be told without the broker.

    Raises
    ------
    ConfigurationError
        Live without a matching confirmation, or a confirmation for an account that is not set to live.
    """
    if environment is Environment.LIVE:
        if confirm_live is None:
            raise ConfigurationError(f"account {masked(account_number)} is set to live without --confirm-live; {STEPS}")
        if confirm_live != account_number:
            raise ConfigurationError(f"--confirm-live names another account than the settings; {STEPS}")
    elif confirm_live is not None:
        raise ConfigurationError(f"--confirm-live was given and the settings say {environment.value}; {STEPS}")


def check_reported(
    environment: Environment, account_number: str, confirm_live: str | None, reported: AccountSnapshot
) -> None:
    """All keys, against what the broker says; called before anything else is done with a new connection.

    Raises
    ------
    ConfigurationError
        The account is another one, or live where the settings do not say so (and the other way round).
    """
    check_before_connecting(environment, account_number, confirm_live)
    if reported.account_number != account_number:
        raise ConfigurationError(
            f"the broker reports account {masked(reported.account_number)}, the settings name "
            f"{masked(account_number)}; nothing was sent"
        )
    live = reported.environment is Environment.LIVE
    if live and environment is not Environment.LIVE:
        raise ConfigurationError(
            f"account {masked(account_number)} is a live account and the settings say {environment.value}; {STEPS}"
        )
    if not live and environment is Environment.LIVE:
        raise ConfigurationError(f"account {masked(account_number)} is not a live account; set environment: demo")


def check_terms(reported: AccountSnapshot, mode: PositionMode, currency: str) -> None:
    """Whether the account is of the kind the settings say: the framework must know before it connects.

    Raises
    ------
    ConfigurationError
        Another position mode or currency; the text says what to write.
    """
    hedging = {PositionMode.HEDGING, PositionMode.SPREAD_BETTING}
    if reported.mode is not mode and not {reported.mode, mode} <= hedging:
        raise ConfigurationError(
            f"the account is a {reported.mode.value} account, the settings say {mode.value}; set mode: "
            f"{reported.mode.value}"
        )
    if reported.currency != currency:
        raise ConfigurationError(
            f"the account's currency is {reported.currency}, the settings say {currency}; set currency: "
            f"{reported.currency}"
        )

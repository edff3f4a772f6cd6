"""Names of the MetaTrader 5 venue."""

from typing import Final

PLATFORM: Final = "mt5"
GATEWAY_HOST: Final = "127.0.0.1"
GATEWAY_PORT: Final = 18_815
RPYC_PORT: Final = 18_812

TOKEN_VARIABLE: Final = "PEPPERSTONE_MT5_GATEWAY_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE: Final = "PEPPERSTONE_MT5_PASSWORD"  # noqa: S105

# The simulated terminal, named as text: this package does not import the sandbox (design §3).
SANDBOX_TERMINAL: Final = "pepperstone_adapter.sandbox.mt5_terminal:connect"
SANDBOX_VARIABLE: Final = "PEPPERSTONE_SANDBOX_MT5"
SANDBOX_PORT: Final = 5055
SANDBOX_PASSWORD: Final = "sandbox"  # noqa: S105 - opens nothing real
RPYC_TERMINAL: Final = "pepperstone_adapter.mt5.client.rpyc_terminal:connect"

"""Names of the cTrader venue."""

from typing import Final

PLATFORM: Final = "ctrader"
DEFAULT_PROFILE: Final = "default"
SANDBOX_HOST = "127.0.0.1"
SANDBOX_PORT = 5035

# The sandbox broker's login: fixed words that open nothing real, so a sandbox run needs no `auth login`.
SANDBOX_LOGIN = {
    "CTRADER_CLIENT_ID": "sandbox-client",
    "CTRADER_CLIENT_SECRET": "sandbox-secret",
    "CTRADER_ACCESS_TOKEN": "sandbox-access",
}

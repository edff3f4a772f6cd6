"""The one error tree. The class says what to do; the text says what is wrong, where, and what to do next.

PepperstoneError
├─ ConfigurationError            a person fixes it; raised before any socket opens
│  └─ CredentialsError
├─ DataError                     input that cannot be trusted: file, row, reason
├─ LinkError                     back off and reconnect
│  ├─ ConnectFailed
│  ├─ LinkLost
│  └─ Silent
├─ OutcomeUnknown                written, not answered: never resend; reconcile
├─ LocalProtocolError            our bug: loud
├─ RemoteProtocolError           the venue's: drop the link, keep the bytes
├─ RiskRefused                   no new risk is taken until a person has looked
├─ ReconciliationMismatch        our books and the broker's differ
└─ VenueError(code, text)        the venue said no
   ├─ RateLimited(retry_after_s)
   ├─ AuthenticationFailed
   ├─ OrderRefused
   └─ NotFound
"""

from typing import ClassVar


class PepperstoneError(Exception):
    """Base of every error this package raises on purpose.

    Attributes
    ----------
    exit_code
        What a command line process returns when this error ends it (design §4).
    """

    exit_code: ClassVar[int] = 1


class ConfigurationError(PepperstoneError):
    exit_code = 2


class CredentialsError(ConfigurationError):
    exit_code = 4


class DataError(PepperstoneError):
    exit_code = 3


class LinkError(PepperstoneError):
    exit_code = 5


class ConnectFailed(LinkError):
    """No usable link could be made (name, route, TLS, first answer)."""


class LinkLost(LinkError):
    """The link was up and is gone."""


class Silent(LinkError):
    """The link is up and the peer has said nothing for longer than its deadline."""


class OutcomeUnknown(PepperstoneError):
    """A request was written and not answered. Never resend it: ask the broker for our own id (design D8)."""

    exit_code = 5


class LocalProtocolError(PepperstoneError):
    """We broke the protocol: a bug of ours."""


class RemoteProtocolError(PepperstoneError):
    """The venue broke the protocol; the link must be dropped."""

    exit_code = 5


class RiskRefused(PepperstoneError):
    """A run has ended while it took no new risk (stop-out, margin call, a part that broke): to be looked at first."""

    exit_code = 6


class ReconciliationMismatch(PepperstoneError):
    exit_code = 7


class VenueError(PepperstoneError):
    """The venue answered no.

    Parameters
    ----------
    code
        The venue's own code, as text.
    text
        The venue's words, without secrets.
    """

    exit_code = 5

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class RateLimited(VenueError):
    def __init__(self, code: str, text: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(code, text)
        self.retry_after_s = retry_after_s


class AuthenticationFailed(VenueError):
    exit_code = 4


class OrderRefused(VenueError):
    pass


class NotFound(VenueError):
    pass

"""cTrader's wire over the ledger: every request of the Open API, answered as the real servers were recorded to answer.

A sans-I/O core: `venue.Venue` holds the broker and its connections, `connection.Connection` one link. Bytes come in by
`Connection.receive` and go out by a sink; nothing here opens a socket or reads a clock of its own.
"""

from pepperstone_adapter.sandbox.ctrader_server import books, data, reference, session, trading
from pepperstone_adapter.sandbox.ctrader_server.venue import Timer, Venue

#: Importing these registers their handlers.
HANDLER_MODULES = (session, reference, data, trading, books)

__all__ = ["HANDLER_MODULES", "Timer", "Venue"]

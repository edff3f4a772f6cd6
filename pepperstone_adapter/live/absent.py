"""Data that FX and CFD venues do not have: asked for, it is answered with a warning that says so, never with silence."""

from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.live import TradesResponse
from nautilus_trader.live.clients import MarketDataClient


class ClientWithoutTrades(MarketDataClient):
    """A market data client of a dealer: quotes, no trades, no funding, no mark, index or closing prices."""

    def _none(self, what: str) -> None:
        Logger(str(self.client_id)).warning(f"{what}: FX and CFD venues have none; nothing will come")

    async def _subscribe_trades(self, command: Any) -> None:
        self._none(f"trades of {command.instrument_id}")

    async def _unsubscribe_trades(self, command: Any) -> None:
        """There were none."""

    async def _subscribe_mark_prices(self, command: Any) -> None:
        self._none(f"mark prices of {command.instrument_id}")

    async def _subscribe_index_prices(self, command: Any) -> None:
        self._none(f"index prices of {command.instrument_id}")

    async def _subscribe_funding_rates(self, command: Any) -> None:
        self._none(f"funding rates of {command.instrument_id}")

    async def _subscribe_instrument_close(self, command: Any) -> None:
        self._none(f"closing prices of {command.instrument_id}")

    async def _unsubscribe_mark_prices(self, command: Any) -> None:
        """There were none."""

    async def _unsubscribe_index_prices(self, command: Any) -> None:
        """There were none."""

    async def _unsubscribe_funding_rates(self, command: Any) -> None:
        """There were none."""

    async def _unsubscribe_instrument_close(self, command: Any) -> None:
        """There were none."""

    async def _request_trades(self, request: Any) -> None:
        self._none(f"trades of {request.instrument_id}")
        self._handle_response(
            TradesResponse(
                self.client_id,
                request.instrument_id,
                [],
                request.request_id,
                self.clock.timestamp_ns(),
                request.start_ns,
                request.end_ns,
                request.params,
            )
        )

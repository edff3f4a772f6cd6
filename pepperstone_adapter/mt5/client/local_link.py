"""A link to a gateway of our own, started with the link and ended with it: the one code path to a terminal, used for the
terminal of this machine and for rpyc servers as well."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.protocol import GatewayNews
from pepperstone_adapter.mt5.gateway.hosted import HostedGateway
from pepperstone_adapter.mt5.gateway.options import BadOptions, GatewayOptions


class LocalLink(GatewayLink):
    """See `GatewayLink`; `close` also ends the gateway and its worker process."""

    def __init__(self, options: GatewayOptions, on_news: Callable[[Sequence[GatewayNews]], None]) -> None:
        try:
            self._hosted = HostedGateway(options)
        except BadOptions as error:
            raise ConfigurationError(str(error)) from error
        address: Any = GatewayAddress(port=self._hosted.port, token=self._hosted.token)
        super().__init__(address, on_news)

    async def close(self) -> None:
        await super().close()
        await asyncio.to_thread(self._hosted.stop)

"""What every handler needs: the error a handler raises, and the table of handlers by message."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pepperstone_adapter import openapi
from pepperstone_adapter.openapi import messages as oa

if TYPE_CHECKING:
    from pepperstone_adapter.sandbox.ctrader_server.connection import Request

type Handler = Callable[["Request"], Message | None]


class WireError(Exception):
    """Answer a request with ErrorRes (2142), or with the common error (50) where the account layer was not reached.

    `code` is a reason of `behaviour.ErrorCodes`, or a code that is no switch.
    """

    def __init__(
        self,
        code: str,
        text: str = "",
        *,
        common: bool = False,
        retry_after_s: int | None = None,
        maintenance_end_s: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.common = common
        self.retry_after_s = retry_after_s
        self.maintenance_end_s = maintenance_end_s

    def message(self, code: str, text: str, request: Any) -> Message:
        """The error on the wire; `code` and `text` are what the settings make of the error's own."""
        if self.common:
            common = oa.CommonErrorRes(errorCode=code)
            if text:
                common.description = text
            return common
        message = oa.ErrorRes(errorCode=code)
        if text:
            message.description = text
        if request is not None and "ctidTraderAccountId" in request.DESCRIPTOR.fields_by_name:
            message.ctidTraderAccountId = request.ctidTraderAccountId
        if self.retry_after_s is not None:
            message.retryAfter = self.retry_after_s
        if self.maintenance_end_s is not None:
            message.maintenanceEndTimestamp = self.maintenance_end_s
        return message


class OrderError(Exception):
    """Refuse a trading request; `code` as in `WireError`."""

    def __init__(self, code: str, text: str, order_id: int = 0, position_id: int = 0) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.order_id = order_id
        self.position_id = position_id


HANDLERS: dict[int, Handler] = {}


def handles(message: type[Message]) -> Callable[[Handler], Handler]:
    """Register the handler of a request."""

    def register(handler: Handler) -> Handler:
        HANDLERS[openapi.payload_type(message)] = handler
        return handler

    return register


def fields(message: Message, *names: str) -> dict[str, Any]:
    """The named fields that are present."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}

"""The official SDK's own client against a sandbox, as a script in a process of its own.

It installs its reactor, its message classes claim cTrader's names in protobuf's default pool, and it accepts any
certificate: none of that belongs in the process of a test. Prints one JSON line of what it saw.

    python sdk_client.py PORT ACCOUNT_ID SYMBOL_ID
"""

import itertools
import json
import sys
from typing import Any

from ctrader_open_api import Client, Protobuf, TcpProtocol
from ctrader_open_api.messages import OpenApiMessages_pb2 as api
from ctrader_open_api.messages import OpenApiModelMessages_pb2 as model
from twisted.internet import reactor

PORT, ACCOUNT, SYMBOL = (int(argument) for argument in sys.argv[1:4])
DEADLINE_S = 45
seen: dict[str, Any] = {"heard": [], "executions": [], "spots": 0, "errors": []}
numbers = itertools.count(1)
client = Client("127.0.0.1", PORT, TcpProtocol)


def ask(request: Any, then: Any) -> None:
    # Without an id the client takes `id(deferred)`, which Python reuses: a fill of the order then answers the reconcile.
    deferred = client.send(request, clientMsgId=f"sdk-{next(numbers)}", responseTimeoutInSeconds=20)
    deferred.addCallback(lambda envelope: then(Protobuf.extract(envelope)))
    deferred.addErrback(lambda failure: finish(str(failure.value)))


def finish(error: str = "") -> None:
    if error:
        seen["errors"].append(error)
    if reactor.running:
        reactor.stop()


def connected(_: Any) -> None:
    request = api.ProtoOAApplicationAuthReq()
    request.clientId, request.clientSecret = "sandbox-client", "sandbox-secret"
    ask(request, accounts)


def accounts(_: Any) -> None:
    request = api.ProtoOAGetAccountListByAccessTokenReq()
    request.accessToken = "sandbox-access"
    ask(request, authorise)


def authorise(listed: Any) -> None:
    seen["accounts"] = [[a.ctidTraderAccountId, a.isLive] for a in listed.ctidTraderAccount]
    request = api.ProtoOAAccountAuthReq()
    request.ctidTraderAccountId, request.accessToken = ACCOUNT, "sandbox-access"
    ask(request, symbols)


def symbols(_: Any) -> None:
    request = api.ProtoOASymbolsListReq()
    request.ctidTraderAccountId = ACCOUNT
    ask(request, details)


def details(listed: Any) -> None:
    seen["symbols"] = [s.symbolName for s in listed.symbol]
    request = api.ProtoOASymbolByIdReq()
    request.ctidTraderAccountId = ACCOUNT
    request.symbolId.append(SYMBOL)
    ask(request, bars)


def bars(found: Any) -> None:
    seen["lot_size"] = found.symbol[0].lotSize
    request = api.ProtoOAGetTrendbarsReq()
    request.ctidTraderAccountId, request.symbolId, request.period = ACCOUNT, SYMBOL, model.ProtoOATrendbarPeriod.M1
    request.fromTimestamp, request.toTimestamp = 0, 2**41
    ask(request, subscribe)


def subscribe(found: Any) -> None:
    # Proto2 parsing in this client refuses an answer without the fields its older schema requires.
    seen["trendbar_timestamp"] = found.HasField("timestamp")
    request = api.ProtoOASubscribeSpotsReq()
    request.ctidTraderAccountId = ACCOUNT
    request.symbolId.append(SYMBOL)
    ask(request, trade)


def trade(_: Any) -> None:
    request = api.ProtoOANewOrderReq()
    request.ctidTraderAccountId, request.symbolId, request.volume = ACCOUNT, SYMBOL, 1_000_000
    request.orderType, request.tradeSide = model.ProtoOAOrderType.MARKET, model.ProtoOATradeSide.BUY
    request.relativeStopLoss, request.clientOrderId = 500, "sdk-1"
    ask(request, lambda _: None)


def heard(_: Any, envelope: Any) -> None:
    message = Protobuf.extract(envelope)
    name = type(message).__name__
    if name == "ProtoOASpotEvent":
        seen["spots"] += 1
    elif name == "ProtoOAExecutionEvent":
        kind = model.ProtoOAExecutionType.Name(message.executionType)
        seen["executions"].append([kind, model.ProtoOAOrderType.Name(message.order.orderType), message.isServerEvent])
        if message.order.orderType == model.ProtoOAOrderType.STOP_LOSS_TAKE_PROFIT and kind == "ORDER_ACCEPTED":
            reconcile()
    elif name != "ProtoHeartbeatEvent":
        seen["heard"].append(name)


def reconcile() -> None:
    request = api.ProtoOAReconcileReq()
    request.ctidTraderAccountId = ACCOUNT
    ask(request, close)


def close(found: Any) -> None:
    position = found.position[0]
    seen["reconciled"] = [position.tradeData.volume, position.price, position.stopLoss]
    request = api.ProtoOAClosePositionReq()
    request.ctidTraderAccountId, request.positionId = ACCOUNT, position.positionId
    request.volume = position.tradeData.volume
    ask(request, deals)


def deals(_: Any) -> None:
    request = api.ProtoOADealListReq()
    request.ctidTraderAccountId, request.fromTimestamp, request.toTimestamp = ACCOUNT, 0, 2**41
    ask(request, done)


def done(found: Any) -> None:
    seen["deals"] = [[d.filledVolume, d.executionPrice, d.HasField("closePositionDetail")] for d in found.deal]
    finish()


client.setConnectedCallback(connected)
client.setDisconnectedCallback(
    lambda _, reason: finish(str(reason)) if reactor.running and "deals" not in seen else None
)
client.setMessageReceivedCallback(heard)
client.startService()
reactor.callLater(DEADLINE_S, finish, "deadline")
reactor.run()
sys.stdout.write(json.dumps(seen) + "\n")

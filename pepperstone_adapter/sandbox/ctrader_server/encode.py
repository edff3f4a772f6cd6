"""Books as messages. Which fields are present, and which are absent rather than zero, follows the recorded messages.

Recorded habits kept here: an empty position carries explicit zeros; a level that does not exist is absent; the levels
and their trigger method appear on a position only with its protective order; closing orders say nothing about trailing;
money is in integers of the message's own digits; prices of orders and deals are doubles.
"""

from decimal import Decimal

from pepperstone_adapter.broker.orders import OrderType, TimeInForce
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.behaviour import BehaviourSettings
from pepperstone_adapter.sandbox.ctrader_server import codes
from pepperstone_adapter.sandbox.ctrader_server.directory import Directory, measurement_units, money, ms, volume
from pepperstone_adapter.sandbox.ledger import Deal, LedgerEvent, Order, Position, PositionStatus, SymbolTerms
from pepperstone_adapter.sandbox.ledger.checks import PENDING
from pepperstone_adapter.sandbox.ledger.records import Cash, CashKind, Protect

_CASH = {
    CashKind.DEPOSIT: oa.ChangeBalanceType.BALANCE_DEPOSIT,
    CashKind.WITHDRAW: oa.ChangeBalanceType.BALANCE_WITHDRAW,
}


class Encoder:
    def __init__(
        self, directory: Directory, symbols: dict[str, SymbolTerms], digits: dict[int, int], switches: BehaviourSettings
    ) -> None:
        self._directory = directory
        self._symbols = symbols
        self._digits = digits  # money digits by account
        self._switches = switches

    def _trade_data(
        self,
        symbol: str,
        units: Decimal,
        side: int,
        opened_ns: int,
        closed_ns: int,
        label: str,
        comment: str,
    ) -> oa.TradeData:
        data = oa.TradeData(
            symbolId=self._directory.symbol_ids[symbol],
            volume=volume(units),
            tradeSide=side,
            guaranteedStopLoss=False,
            measurementUnits=measurement_units(self._symbols[symbol].spec.asset_class),
        )
        if opened_ns:
            data.openTimestamp = ms(opened_ns)
        if closed_ns:
            data.closeTimestamp = ms(closed_ns)
        if label:
            data.label = label
        if comment:
            data.comment = comment
        return data

    def position(self, position: Position) -> oa.Position:
        digits = self._digits[position.account_id]
        opened = position.opened_ns if position.status is not PositionStatus.CREATED else 0
        data = self._trade_data(
            position.symbol,
            position.units,
            codes.SIDE[position.side],
            opened,
            position.closed_ns if position.status is PositionStatus.CLOSED else 0,
            position.label,
            position.comment,
        )
        data.guaranteedStopLoss = position.guaranteed and position.protected
        open_now = position.status is PositionStatus.OPEN
        message = oa.Position(
            positionId=position.position_id,
            tradeData=data,
            positionStatus=codes.POSITION_STATUS[position.status],
            swap=money(position.swap, digits) if open_now else 0,
            price=float(position.open_price) if open_now else 0.0,
            commission=money(position.commission, digits) if open_now else 0,
            marginRate=float(position.margin_rate) if open_now else 0.0,
            mirroringCommission=0,
            guaranteedStopLoss=position.guaranteed and position.protected,
            usedMargin=money(position.used_margin, digits),
            moneyDigits=digits,
            trailingStopLoss=position.trailing,
        )
        if position.updated_ns:
            message.utcLastUpdateTimestamp = ms(position.updated_ns)
        if open_now and position.protected:
            message.stopLossTriggerMethod = codes.TRIGGER[position.trigger]
            if position.stop_loss is not None:
                message.stopLoss = float(position.stop_loss)
            if position.take_profit is not None:
                message.takeProfit = float(position.take_profit)
        return message

    def order(self, order: Order) -> oa.Order:
        message = oa.Order(
            orderId=order.order_id,
            tradeData=self._trade_data(
                order.symbol,
                order.units,
                codes.SIDE[order.side],
                order.created_ns,
                order.closed_ns,
                order.label,
                order.comment,
            ),
            orderType=codes.ORDER_TYPE[order.type],
            orderStatus=codes.ORDER_STATUS[order.status],
            executedVolume=volume(order.filled_units),
            utcLastUpdateTimestamp=ms(order.updated_ns),
            closingOrder=order.closing,
            positionId=order.position_id,
        )
        market = order.type in (OrderType.MARKET, OrderType.MARKET_RANGE)
        immediate = market and order.time_in_force is not TimeInForce.FOK
        message.timeInForce = codes.TIME_IN_FORCE[TimeInForce.IOC if immediate else order.time_in_force]
        if order.average_price is not None:
            message.executionPrice = float(order.average_price)
        if order.expires_ns is not None:
            message.expirationTimestamp = ms(order.expires_ns)
        if order.client_id and (not order.closing or self._switches.echo_client_order_id):
            message.clientOrderId = order.client_id
        if order.stop_out and self._switches.stop_out_flag:
            message.isStopOut = True
        self._prices(order, message)
        if order.type is OrderType.PROTECTION or not order.closing:
            message.trailingStopLoss = order.trailing or bool(order.protect and order.protect.trailing)
        if order.protect is not None and not order.closing:
            self._levels(order.protect, message)
        return message

    def rejected(self, request: oa.NewOrderReq, order_id: int, now_ns: int) -> oa.Order:
        """An order that was refused, in the words of its request."""
        message = oa.Order(
            orderId=order_id,
            tradeData=oa.TradeData(
                symbolId=request.symbolId,
                volume=request.volume,
                tradeSide=request.tradeSide,
                openTimestamp=ms(now_ns),
                label=request.label,
                comment=request.comment,
            ),
            orderType=request.orderType,
            orderStatus=oa.OrderStatus.ORDER_STATUS_REJECTED,
            executedVolume=0,
            utcLastUpdateTimestamp=ms(now_ns),
            closingOrder=False,
        )
        if request.clientOrderId:
            message.clientOrderId = request.clientOrderId
        return message

    def _prices(self, order: Order, message: oa.Order) -> None:
        if order.stop_price is not None:
            message.stopPrice = float(order.stop_price)
        if order.type is OrderType.STOP_LIMIT:
            message.slippageInPoints = order.slippage_points or 0  # the wire has no limit price for these
        elif order.limit_price is not None:
            message.limitPrice = float(order.limit_price)
        if order.type is OrderType.MARKET_RANGE and order.base_price is not None:
            message.baseSlippagePrice = float(order.base_price)
            message.slippageInPoints = order.slippage_points or 0
        if order.type in (OrderType.PROTECTION, OrderType.STOP, OrderType.STOP_LIMIT):
            trigger = order.protect.trigger if order.protect is not None else None
            message.stopTriggerMethod = codes.TRIGGER[trigger] if trigger else oa.OrderTriggerMethod.TRADE

    @staticmethod
    def _levels(protect: Protect, message: oa.Order) -> None:
        if protect.stop_loss is not None:
            message.stopLoss = float(protect.stop_loss)
        if protect.take_profit is not None:
            message.takeProfit = float(protect.take_profit)
        if protect.stop_distance is not None:
            message.relativeStopLoss = int(protect.stop_distance.scaleb(5))
        if protect.profit_distance is not None:
            message.relativeTakeProfit = int(protect.profit_distance.scaleb(5))

    def deal(self, deal: Deal) -> oa.Deal:
        digits = self._digits[deal.account_id]
        message = oa.Deal(
            dealId=deal.deal_id,
            orderId=deal.order_id,
            positionId=deal.position_id,
            volume=volume(deal.ordered_units),
            filledVolume=volume(deal.units),
            symbolId=self._directory.symbol_ids[deal.symbol],
            createTimestamp=ms(deal.created_ns),
            executionTimestamp=ms(deal.ts_ns),
            utcLastUpdateTimestamp=ms(deal.ts_ns),
            executionPrice=float(deal.price),
            tradeSide=codes.SIDE[deal.side],
            dealStatus=oa.DealStatus.PARTIALLY_FILLED if deal.partial else oa.DealStatus.FILLED,
            marginRate=float(deal.margin_rate),
            commission=money(deal.commission, digits),
            baseToUsdConversionRate=float(deal.base_usd_rate),
            moneyDigits=digits,
        )
        if deal.closed_units and deal.entry_price is not None:
            message.closePositionDetail.CopyFrom(
                oa.ClosePositionDetail(
                    entryPrice=float(deal.entry_price),
                    grossProfit=money(deal.gross_profit, digits),
                    swap=money(deal.swap, digits),
                    commission=money(deal.booked_commission, digits),
                    balance=money(deal.balance, digits),
                    quoteToDepositConversionRate=float(deal.quote_rate),
                    closedVolume=volume(deal.closed_units),
                    balanceVersion=deal.balance_version,
                    moneyDigits=digits,
                    pnlConversionFee=money(deal.conversion_fee, digits),
                )
            )
        if self._switches.extra_fields:
            message.MergeFromString(b"\x9a\x01\x00")  # field 19, empty
        return message

    def execution(self, event: LedgerEvent) -> oa.ExecutionEvent:
        message = oa.ExecutionEvent(
            ctidTraderAccountId=event.account_id,
            executionType=codes.EXECUTION[event.kind],
            isServerEvent=event.by_server and (self._switches.pending_fill_by_server or not _fills_pending(event)),
        )
        position = event.position
        unborn = position is not None and not position.opened_ns
        if position is not None and (not unborn or self._switches.empty_positions):
            message.position.CopyFrom(self.position(position))
        if event.order is not None:
            message.order.CopyFrom(self.order(event.order))
            if unborn and not self._switches.empty_positions:
                message.order.ClearField("positionId")
        if event.deal is not None:
            message.deal.CopyFrom(self.deal(event.deal))
        if event.error:
            message.errorCode, _ = self._switches.errors.say(event.error, "")
        return message

    def cash(self, cash: Cash) -> oa.DepositWithdraw:
        digits = self._digits[cash.account_id]
        kind = _CASH.get(cash.kind)
        if kind is None:
            kind = (
                oa.ChangeBalanceType.BALANCE_DEPOSIT_NEGATIVE_BALANCE_PROTECTION
                if cash.kind is CashKind.PROTECTION
                else oa.ChangeBalanceType.BALANCE_DEPOSIT
            )
        return oa.DepositWithdraw(
            operationType=kind,
            balanceHistoryId=cash.cash_id,
            balance=money(cash.balance, digits),
            delta=money(cash.amount, digits),
            changeBalanceTimestamp=ms(cash.ts_ns),
            externalNote=cash.note,
            balanceVersion=cash.balance_version,
            equity=money(cash.equity, digits),
            moneyDigits=digits,
        )


def _fills_pending(event: LedgerEvent) -> bool:
    return event.deal is not None and event.order is not None and event.order.type in PENDING

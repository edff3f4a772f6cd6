"""An account's books as plain data: what a test or a person compares a client's view with."""

from typing import Any

from pepperstone_adapter.sandbox.ledger import Ledger


def books(ledger: Ledger, account_id: int) -> dict[str, Any]:
    """Orders, positions, deals and money of one account; decimals as text, times in nanoseconds."""
    account = ledger.accounts[account_id]
    return {
        "balance": str(account.balance),
        "balance_version": account.balance_version,
        "equity": str(ledger.equity(account_id)),
        "used_margin": str(ledger.used_margin(account_id)),
        "orders": [
            {
                "order_id": order.order_id,
                "client_id": order.client_id,
                "symbol": order.symbol,
                "side": order.side.value,
                "type": order.type.value,
                "status": order.status.value,
                "units": str(order.units),
                "filled_units": str(order.filled_units),
                "position_id": order.position_id,
                "closing": order.closing,
                "stop_out": order.stop_out,
            }
            for order in account.orders.values()
        ],
        "positions": [
            {
                "position_id": position.position_id,
                "symbol": position.symbol,
                "side": position.side.value,
                "units": str(position.units),
                "open_price": str(position.open_price),
                "stop_loss": None if position.stop_loss is None else str(position.stop_loss),
                "take_profit": None if position.take_profit is None else str(position.take_profit),
                "swap": str(position.swap),
            }
            for position in account.positions.values()
        ],
        "deals": [
            {
                "deal_id": deal.deal_id,
                "order_id": deal.order_id,
                "position_id": deal.position_id,
                "client_id": deal.client_id,
                "symbol": deal.symbol,
                "side": deal.side.value,
                "units": str(deal.units),
                "price": str(deal.price),
                "net": str(deal.net),
                "ts_ns": deal.ts_ns,
            }
            for deal in account.deals
        ],
    }

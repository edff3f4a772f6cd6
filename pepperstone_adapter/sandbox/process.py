"""The sandbox in a process of its own, steered by one JSON line a command on its standard input.

For tests that must stop, freeze or kill a broker, or keep it apart from the client under test: `start_process`
returns a handle with the same reach as `server.Sandbox` where that is plain data. Prices and money travel as text,
never as floats.
"""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.common.errors import ConnectFailed, LocalProtocolError
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.faults import FaultRule
from pepperstone_adapter.sandbox.ledger import NewOrder, Protect
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Credentials, Ports, Sandbox, start
from pepperstone_adapter.sandbox.settings import SandboxSettings


class SandboxProcess:
    """A broker in another process. Commands are answered in order; an error there is raised here."""

    def __init__(self, settings: SandboxSettings, start_ns: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pepperstone_adapter.sandbox.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        first = self._say({"settings": settings.model_dump(mode="json"), "start_ns": start_ns})
        self.ports = Ports(**first["ports"])
        self.ca_file = Path(first["ca_file"])
        self.credentials = Credentials()
        self.pid = self._process.pid

    def _say(self, line: dict[str, Any]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise LocalProtocolError("the sandbox process has no pipes")
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ConnectFailed("the sandbox process has ended; its words stand above")
        told = json.loads(answer)
        if "error" in told:
            raise LocalProtocolError(f"sandbox: {told['error']}")
        return told["result"]

    def do(self, command: str, **arguments: Any) -> Any:
        """Run one command of `Commands` there."""
        return self._say({"do": command, "with": arguments})

    def push(self, symbol: str, bid: Decimal | str, ask: Decimal | str) -> None:
        self.do("push", symbol=symbol, bid=str(bid), ask=str(ask))

    def add_fault(self, rule: FaultRule) -> None:
        self.do("add_fault", rule=rule.model_dump(mode="json"))

    def books(self, account_id: int) -> dict[str, Any]:
        """Orders, positions, deals and money of one account (`report.books`)."""
        found: dict[str, Any] = self.do("books", account_id=account_id)
        return found

    def kill(self) -> None:
        """End it without a farewell."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> "SandboxProcess":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Commands:
    """What the control channel can do; every argument and result is plain JSON."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def push(self, symbol: str, bid: str, ask: str) -> None:
        self._sandbox.push(symbol, bid, ask)

    def advance(self, seconds: float) -> None:
        self._sandbox.advance(seconds)

    def add_fault(self, rule: dict[str, Any]) -> None:
        self._sandbox.add_fault(FaultRule.model_validate(rule))

    def clear_faults(self) -> None:
        self._sandbox.clear_faults()

    def books(self, account_id: int) -> dict[str, Any]:
        return self._sandbox.call(books, self._sandbox.ledger, account_id)

    def violations(self) -> list[str]:
        return self._sandbox.violations()

    def close(self, account_id: int, position_id: int, units: str) -> None:
        """Close a position by hand, as a person in the platform would."""
        sandbox = self._sandbox
        now_ns = sandbox.clock.now_ns()
        sandbox.call(sandbox.ledger.close, account_id, position_id, Decimal(units), now_ns)

    def order(self, account_id: int, symbol: str, side: str, units: str, limit_price: str | None = None) -> int:
        """Place an order by hand: market, or limit with a price. Returns its id."""
        sandbox = self._sandbox
        request = NewOrder(
            symbol=symbol,
            side=Side(side),
            type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
            units=Decimal(units),
            limit_price=None if limit_price is None else Decimal(limit_price),
        )
        return sandbox.call(sandbox.ledger.submit, account_id, request, sandbox.clock.now_ns()).order_id

    def protect(self, account_id: int, position_id: int, stop_loss: str | None, take_profit: str | None) -> None:
        """Set a position's levels by hand; None removes."""
        sandbox = self._sandbox
        levels = Protect(
            stop_loss=None if stop_loss is None else Decimal(stop_loss),
            take_profit=None if take_profit is None else Decimal(take_profit),
        )
        sandbox.call(sandbox.ledger.protect, account_id, position_id, levels, sandbox.clock.now_ns())

    def liquidity(self, symbol: str, units_per_fill: str | None, fills: int | None = None) -> None:
        """Bound what executions find: so many units at a time, so many times; None = everything again."""
        bound = None if units_per_fill is None else Liquidity(Decimal(units_per_fill), fills)
        self._sandbox.call(self._sandbox.ledger.set_liquidity, symbol, bound)

    def cancel(self, account_id: int, order_id: int) -> None:
        sandbox = self._sandbox
        sandbox.call(sandbox.ledger.cancel, account_id, order_id, sandbox.clock.now_ns(), ref="")

    def cash(self, account_id: int, amount: str) -> None:
        sandbox = self._sandbox
        sandbox.call(sandbox.ledger.cash, account_id, Decimal(amount), sandbox.clock.now_ns())

    def disconnect_clients(self, reason: str) -> None:
        self._sandbox.call(self._sandbox.venue.disconnect_clients, reason)

    def disconnect_account(self, account_id: int) -> None:
        self._sandbox.call(self._sandbox.venue.disconnect_account, account_id)

    def invalidate_token(self, access: str) -> None:
        self._sandbox.call(self._sandbox.venue.invalidate_token, access)

    def start_maintenance(self, end_ns: int) -> None:
        self._sandbox.call(self._sandbox.venue.start_maintenance, end_ns)

    def end_maintenance(self) -> None:
        self._sandbox.call(self._sandbox.venue.end_maintenance)

    def hide(self, record_id: int, snapshots: int) -> None:
        self._sandbox.call(self._sandbox.venue.hide, record_id, snapshots)


def start_process(settings: SandboxSettings, start_ns: int | None = None) -> SandboxProcess:
    """Start a broker in another process; with `start_ns` its clock stands still until ``do("advance", seconds=1)``."""
    return SandboxProcess(settings, start_ns)


def main() -> None:
    """Serve one sandbox until standard input ends."""
    first = json.loads(sys.stdin.readline())
    clock = TestClock(first["start_ns"]) if first["start_ns"] is not None else None
    with start(SandboxSettings.model_validate(first["settings"]), clock=clock) as sandbox:
        ports = {
            "demo": sandbox.ports.demo,
            "live": sandbox.ports.live,
            "oauth": sandbox.ports.oauth,
            "mt5": sandbox.ports.mt5,
        }
        _answer({"result": {"ports": ports, "ca_file": str(sandbox.ca_file)}})
        commands = Commands(sandbox)
        for line in sys.stdin:
            told = json.loads(line)
            try:
                name = told["do"]
                if name.startswith("_"):
                    raise LocalProtocolError(f"no command {name}")
                _answer({"result": getattr(commands, name)(**told["with"])})
            except Exception as error:  # noqa: BLE001 - told to the caller, who raises it
                _answer({"error": f"{type(error).__name__}: {error}"})


def _answer(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

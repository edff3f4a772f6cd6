"""A gateway for another machine: TLS and token on both sides, over real sockets (this machine's; the words are the same)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from pepperstone_adapter.broker.events import LinkUp
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.common.errors import AuthenticationFailed, ConfigurationError, ConnectFailed
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.gateway_link import GatewayAddress, GatewayLink
from pepperstone_adapter.mt5.client.session import Mt5Session
from tests.kit import mt5 as kit
from tests.kit.ctrader import Recorder, recorded, run
from tests.kit.mt5 import LOGIN, QUICK, TOKEN, Gateway
from tests.kit.mt5_scene import order
from tests.kit.tls_server import ca_file, expired


@dataclass(frozen=True)
class Guarded:
    """A gateway that listens on every address of this machine, and the authority of its certificate."""

    gate: Gateway
    trusted: Path

    def session(self, connect_timeout_s: float = 30.0, **changes: object) -> Mt5Session:
        facts = {"port": self.gate.port, "token": TOKEN, "ca_file": self.trusted, **changes}
        address = GatewayAddress(**facts)  # type: ignore[arg-type]
        account = Mt5Account(login=LOGIN, sandbox=True, connect_timeout_s=connect_timeout_s)
        return Mt5Session(account, lambda on_news: GatewayLink(address, on_news, QUICK))


@contextmanager
def guarded(path: Path, *names: str, old: bool = False) -> Iterator[Guarded]:
    authority = trustme.CA()
    leaf = expired(authority, names[0]) if old else authority.issue_cert(*names)
    certificate, key = path / "gw.pem", path / "gw.key"
    leaf.private_key_pem.write_to_path(key)
    for part in leaf.cert_chain_pems:
        part.write_to_path(certificate, append=True)
    options = {"host": "0.0.0.0", "certificate": certificate, "private_key": key}  # noqa: S104
    with kit.broker(path) as broker, kit.gateway(broker, path, **options) as gate:
        yield Guarded(gate, ca_file(authority, path))


def test_a_node_trades_over_tls_by_address_and_by_name(tmp_path: Path) -> None:
    with guarded(tmp_path, "127.0.0.1", "localhost") as server:

        async def main() -> None:
            for number, host in enumerate(("127.0.0.1", "localhost")):
                async with recorded(server.session(host=host)) as (session, told):
                    await session.subscribe_quotes(["EURUSD"])
                    await told.until(lambda told=told: told.of(Tick))
                    await session.submit(order(f"O-{number}"))
                    await told.until(lambda told=told, n=number: "filled" in told.changes(f"O-{n}"))
                    server.gate.cut_clients()  # the next link is as guarded as the first
                    await told.until(lambda told=told: told.of(LinkUp))

        run(main)


async def refused(session: Mt5Session, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        await session.connect(Recorder())


def test_what_is_not_trusted_gets_no_word(tmp_path: Path) -> None:
    with guarded(tmp_path, "127.0.0.1") as server:
        other = ca_file(trustme.CA(), tmp_path, "other.pem")

        async def main() -> None:
            await refused(server.session(ca_file=other), ConnectFailed, "certificate")
            await refused(server.session(host="localhost"), ConnectFailed, "certificate")  # it names the address only
            await refused(server.session(ca_file=None, tls=True), ConnectFailed, "certificate")  # no public authority's
            await refused(server.session(token="another-token-9876543210"), AuthenticationFailed, "token")
            await refused(server.session(token=""), AuthenticationFailed, "token")

        run(main)


def test_an_old_certificate_is_refused(tmp_path: Path) -> None:
    with guarded(tmp_path, "127.0.0.1", old=True) as server:

        async def main() -> None:
            await refused(server.session(), ConnectFailed, "certificate")

        run(main)


def test_plain_words_and_tls_do_not_meet(tmp_path: Path) -> None:
    with guarded(tmp_path, "127.0.0.1") as server:

        async def main() -> None:
            await refused(
                server.session(4.0, ca_file=None), ConnectFailed, "did not answer .*with a certificate wants ca_file"
            )

        run(main)


def test_a_file_of_authorities_that_cannot_be_read_is_said_and_not_waited_for(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"

    async def main() -> None:
        address = GatewayAddress(port=1, token=TOKEN, ca_file=gone)
        session = Mt5Session(Mt5Account(login=LOGIN), lambda on_news: GatewayLink(address, on_news, QUICK))
        await refused(session, ConfigurationError, "gone.pem")  # long before the 150 s that a terminal may take

    run(main)


def test_another_machine_without_tls_is_no_address() -> None:
    with pytest.raises(ConfigurationError, match="TLS only"):
        GatewayAddress(host="192.0.2.7", token=TOKEN)

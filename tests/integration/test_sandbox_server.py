"""The sandbox over real sockets: TLS, ports, resets, the OAuth page, the process of its own, the command."""

import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.faults import FaultKind, FaultRule
from pepperstone_adapter.sandbox.process import start_process
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start
from tests.kit.wire import WireClient

ACCOUNT = 1_000_001


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with start(settings_for_tests(tmp_path)) as running:
        running.push("EURUSD", "1.10000", "1.10002")
        yield running


def buy() -> oa.NewOrderReq:
    return oa.NewOrderReq(
        ctidTraderAccountId=ACCOUNT,
        symbolId=1,
        orderType=oa.OrderType.MARKET,
        tradeSide=oa.TradeSide.BUY,
        volume=1_000_000,
        clientOrderId="c-1",
    )


def test_only_its_own_authority_vouches_for_it(sandbox: Sandbox, tmp_path: Path) -> None:
    with WireClient(sandbox.ports.demo, sandbox.ca_file) as client:
        client.login(ACCOUNT)
    with start(settings_for_tests(tmp_path / "other")) as other, pytest.raises(ssl.SSLCertVerificationError):
        WireClient(sandbox.ports.demo, other.ca_file)
    assert b"PRIVATE" not in sandbox.ca_file.read_bytes()


def test_a_reset_reaches_the_client_as_one_and_the_order_stands(sandbox: Sandbox) -> None:
    sandbox.add_fault(FaultRule(kind=FaultKind.CUT_AFTER, on="request", message="NewOrderReq"))
    with WireClient(sandbox.ports.demo, sandbox.ca_file) as client:
        client.login(ACCOUNT)
        client.send(buy())
        with pytest.raises((ConnectionError, ssl.SSLError)):
            client.next()
    assert [d.client_id for d in sandbox.ledger.accounts[ACCOUNT].deals] == ["c-1"]
    assert sandbox.violations() == []


def test_a_taken_port_and_a_bad_folder_are_clear_errors(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        start(settings_for_tests(tmp_path / "b", ports={"demo": sandbox.ports.demo}))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write"):
        start(settings_for_tests(tmp_path / "file" / "c"))


def test_a_second_sandbox_of_the_folder_is_refused_and_leaves_the_first_its_authority(tmp_path: Path) -> None:
    with start(settings_for_tests(tmp_path)) as first:
        authority = first.ca_file.read_bytes()
        with pytest.raises(
            ConfigurationError, match=rf"needs a state_dir of its own\) is in use by PID {os.getpid()} "
        ):
            start(settings_for_tests(tmp_path))
        assert first.ca_file.read_bytes() == authority
    start(settings_for_tests(tmp_path)).stop()


def test_a_start_that_fails_leaves_the_folder_to_the_next(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        start(settings_for_tests(tmp_path / "b", ports={"demo": sandbox.ports.demo}))
    start(settings_for_tests(tmp_path / "b")).stop()
    authority = tmp_path / "c" / "ca.pem"
    authority.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot write") as refused:
        start(settings_for_tests(tmp_path / "c"))
    authority.rmdir()
    start(
        settings_for_tests(tmp_path / "c")
    ).stop()  # while the error of the first still holds on to it, as a notebook does
    assert refused.tb is not None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def fetch(sandbox: Sandbox, path: str, **query: str) -> tuple[int, str, str]:
    """``(status, body, location)`` of one page."""
    opener = urllib.request.build_opener(_NoRedirect)
    url = f"http://127.0.0.1:{sandbox.ports.oauth}{path}?{urllib.parse.urlencode(query)}"
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.read().decode(), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers.get("Location", "")


def test_the_oauth_pages(sandbox: Sandbox) -> None:
    client = {"client_id": "sandbox-client", "redirect_uri": "http://127.0.0.1:9/cb", "scope": "trading"}
    status, page, _ = fetch(sandbox, "/apps/auth", **client, state='"><script>')
    assert (status, "<script>" in page) == (200, False)
    status, _, location = fetch(sandbox, "/apps/allow", **client, state="s1")
    given = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
    assert (status, given["state"]) == (302, ["s1"])
    two_lines = {**client, "redirect_uri": "http://127.0.0.1:9/cb\r\nX-Evil: 1"}
    assert fetch(sandbox, "/apps/allow", **two_lines)[0] == 400
    secret = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    code = {"grant_type": "authorization_code", "code": given["code"][0], "redirect_uri": client["redirect_uri"]}
    tokens = json.loads(fetch(sandbox, "/apps/token", **secret, **code)[1])
    assert (tokens["errorCode"], tokens["expiresIn"], tokens["tokenType"]) == (None, 2_628_000, "bearer")
    used_twice = json.loads(fetch(sandbox, "/apps/token", **secret, **code)[1])
    assert used_twice["errorCode"] == "ACCESS_DENIED"
    with WireClient(sandbox.ports.demo, sandbox.ca_file) as wire:
        wire.login(ACCOUNT, token=tokens["accessToken"])
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refreshToken"]}
    turned = json.loads(fetch(sandbox, "/apps/token", **secret, **refresh)[1])
    assert turned["accessToken"] != tokens["accessToken"]
    assert json.loads(fetch(sandbox, "/apps/token", **secret, **refresh)[1])["errorCode"] == "ACCESS_DENIED"
    sandbox.add_fault(FaultRule(kind=FaultKind.ERROR, on="request", message="OAuthToken"))
    assert fetch(sandbox, "/apps/token", **secret, **refresh)[0] == 500
    assert fetch(sandbox, "/apps/auth", client_id="x")[0] == 400
    assert fetch(sandbox, "/else")[0] == 404


def test_a_sandbox_in_a_process_of_its_own(tmp_path: Path) -> None:
    with start_process(settings_for_tests(tmp_path), start_ns=1_705_305_600 * 10**9) as sandbox:
        sandbox.push("EURUSD", "1.10000", "1.10002")
        sandbox.add_fault(FaultRule(kind=FaultKind.DROP, message="ExecutionEvent", execution="ORDER_ACCEPTED"))
        with WireClient(sandbox.ports.demo, sandbox.ca_file) as client:
            client.login(ACCOUNT)
            client.send(buy())
            event = client.next().message
            assert isinstance(event, oa.ExecutionEvent)
            assert event.executionType == oa.ExecutionType.ORDER_FILLED
            sandbox.do("close", account_id=ACCOUNT, position_id=event.position.positionId, units="4000")
            assert client.execution(oa.ExecutionType.ORDER_FILLED).position.tradeData.volume == 600_000
            sandbox.do("cash", account_id=ACCOUNT, amount="100.00")
            client.execution(oa.ExecutionType.DEPOSIT_WITHDRAW)
            books = sandbox.books(ACCOUNT)
            # 0.04 lot closed at 1.10000: 4,000 * -0.00002 = -0.08 ; charges 0.35 * 40 % + 0.14 = 0.28
            assert books["balance"] == "10099.64"
            assert [p["units"] for p in books["positions"]] == ["6000.00"]
            assert sandbox.do("violations") == []
            sandbox.kill()
            with pytest.raises((ConnectionError, ssl.SSLError)):
                client.next()


def test_the_same_deeds_give_the_same_frames(tmp_path: Path) -> None:
    """Determinism: a standing clock, a seed, the same requests: byte for byte the same answers."""

    def answers(folder: Path) -> list[bytes]:
        with start_process(settings_for_tests(folder, seed=7), start_ns=1_705_305_600 * 10**9) as sandbox:
            sandbox.push("EURUSD", "1.10000", "1.10002")
            with WireClient(sandbox.ports.demo, sandbox.ca_file) as client:
                client.login(ACCOUNT)
                client.ask(buy())
                client.execution(oa.ExecutionType.ORDER_FILLED)
                client.ask(oa.RefreshTokenReq(refreshToken="sandbox-refresh"))
                return [decoded.payload for decoded in client.heard]

    assert answers(tmp_path / "a") == answers(tmp_path / "b")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
@pytest.mark.parametrize(
    ("number", "ignored"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)]
)
def test_the_command_says_how_to_connect_and_ends_on_ctrl_c(tmp_path: Path, number: int, ignored: bool) -> None:
    """`ignored`: as a shell script starts it in the background."""
    settings = Path(__file__).parents[2] / "configs" / "sandbox" / "default.yaml"
    changes = [
        "ports.demo=0",
        "ports.live=0",
        "ports.oauth=0",
        "mt5.port=0",
        f"state_dir={tmp_path}",
        "tape.history_days=1",
    ]
    command = [sys.executable, "-m", "pepperstone_adapter", "sandbox", str(settings), "--json"]
    for change in changes:
        command += ["--set", change]
    if ignored:
        command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            _connects_and_ends(process, number)
        finally:
            process.kill()


def test_one_ctrl_c_told_twice_ends_it_in_order(tmp_path: Path) -> None:
    """A wrapper such as `uv run` hands on what the terminal sent to both; here while the broker closes."""
    code = """
        import signal, sys
        from pepperstone_adapter.cli.main import run

        def is_run(frame):
            return frame.f_code.co_name == "run" and frame.f_code.co_filename.endswith("sandbox_console.py")

        def while_it_serves(frame, event, argument):
            if is_run(frame):
                if "left_s" in frame.f_locals:
                    signal.raise_signal(signal.SIGINT)
                return while_it_serves

        def while_it_closes(frame, event, argument):
            if is_run(frame) and event == "return":
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)
                print("told twice")

        sys.settrace(while_it_serves)
        sys.setprofile(while_it_closes)
        run()
    """
    changes = [f"ports.{name}=0" for name in ("demo", "live", "oauth")]
    changes += ["mt5.port=0", f"state_dir={tmp_path}", "tape.history_days=1"]
    command = [sys.executable, "-c", textwrap.dedent(code), "sandbox", "configs/sandbox/default.yaml", "--json"]
    ran = subprocess.run(
        [*command, *(word for change in changes for word in ("--set", change))],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("told twice\n")


def _connects_and_ends(process: "subprocess.Popen[str]", number: int) -> None:
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    with WireClient(facts["demo_port"], Path(facts["ca_file"])) as client:
        client.login(ACCOUNT)
        client.send(oa.SubscribeSpotsReq(ctidTraderAccountId=ACCOUNT, symbolId=[1]))
        assert client.wait(lambda d: isinstance(d.message, oa.SpotEvent)).bid > 0
        client.wait(lambda d: isinstance(d.message, oa.SpotEvent))  # the walk goes on
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (0, "")

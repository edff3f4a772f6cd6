"""Prove that the fault suite can fail: break the code in fourteen known ways, and see the named tests go red.

    uv run python tools/mutants.py            # all of them, about four minutes
    uv run python tools/mutants.py M3 M11     # some of them

Each mutant is one wrong decision that has cost people money (a resend after a timeout, a deal counted twice, a certificate
that nobody checks). It is made in a copy of the tree in a temporary folder; the tree itself is never touched. A mutant
that no test notices has survived, and the exit code is 1.
"""

# ruff: noqa: T201
import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("pepperstone_adapter", "strategies", "tests", "configs", "catalog/samples", "pyproject.toml")
TIMEOUT_S = 240


@dataclass(frozen=True)
class Mutant:
    """One wrong decision: texts to replace, and the tests that must notice."""

    name: str
    says: str
    changes: tuple[tuple[str, str, str], ...]  # file, what stands there, what the mutant makes of it
    tests: tuple[str, ...]


P = "pepperstone_adapter"
TRANSPORT, EVENTS = "tests/faults/test_transport.py", "tests/faults/test_events.py"
SIDE, PROCESSES = "tests/faults/test_broker_side.py", "tests/faults/test_processes.py"
SESSIONS = "tests/faults/test_sessions.py"
_UNKNOWN = """        except OutcomeUnknown:
            self._reconciler.unknown(kind, order)
        except LinkError as error:
            self._perform(self._events.reject(order, f"not sent: {error}", self._now_ns()))
"""
_AGAIN = """async def _again(write):
    try:
        return await write()
    except OutcomeUnknown:
        return await write()


"""

MUTANTS = (
    Mutant(
        "M1",
        "an order without an answer is sent again",
        (
            (f"{P}/live/sending.py", "            answer = write()\n", "            answer = _again(write)\n"),
            (f"{P}/live/sending.py", "async def _raising(", _AGAIN + "async def _raising("),
        ),
        (f"{TRANSPORT}::test_F12_a_request_that_is_never_answered_is_asked_about_and_found",),
    ),
    Mutant(
        "M2",
        "an order without an answer is declared dead",
        (
            (
                f"{P}/live/sending.py",
                _UNKNOWN,
                _UNKNOWN.replace(
                    "self._reconciler.unknown(kind, order)",
                    'self._perform(self._events.reject(order, "no answer", self._now_ns()))',
                ),
            ),
        ),
        (f"{TRANSPORT}::test_F02_a_link_lost_after_the_order_arrived_ends_in_one_order_adopted",),
    ),
    Mutant(
        "M3",
        "a deal counts as often as it is told",
        (
            (f"{P}/live/tracking.py", "return deal.deal_id in self._deals or", "return"),
            (f"{P}/ctrader/client/book.py", "return deal_id in self._deals", "return False"),
        ),
        (
            f"{EVENTS}::test_F27_a_repeated_part_leaves_the_rest_of_the_order_alive",
            f"{EVENTS}::test_F28_a_deal_from_the_stream_the_lists_and_the_snapshot_counts_once",
        ),
    ),
    Mutant(
        "M4",
        "a deal is marked as applied before it is",
        (
            (
                f"{P}/live/reconciliation.py",
                "        found = await self.connection.session.find_order(order_id=deal.order_id, since_ns=",
                "        self.table.mark_deal(deal.deal_id)\n"
                "        found = await self.connection.session.find_order(order_id=deal.order_id, since_ns=",
            ),
        ),
        (f"{EVENTS}::test_F38_executions_lost_on_a_healthy_link_are_found_by_the_audit",),
    ),
    Mutant(
        "M5",
        "request ids are used again",
        ((f"{P}/ctrader/client/protocol.py", "{next(self._numbers)}", "{next(self._numbers) % 3}"),),
        (
            "tests/faults/test_client_links.py::test_f13_thirty_late_answers_reach_their_own_requests_or_nobody",
            f"{TRANSPORT}::test_F13_answers_after_the_deadline_reach_their_own_orders",
        ),
    ),
    Mutant(
        "M6",
        "a silent peer is believed to be there",
        ((f"{P}/ctrader/client/protocol.py", "if now_s >= self._heard_s + self.timings.silent_s:", "if now_s < 0:"),),
        (
            f"{TRANSPORT}::test_F07_a_silent_peer_is_found_and_what_happened_meanwhile_is_caught_up",
            f"{TRANSPORT}::test_F07_a_frozen_broker_process_is_left_within_the_inbound_deadline",
        ),
    ),
    Mutant(
        "M7",
        "orders flow before the account has been read again",
        (
            (
                f"{P}/ctrader/client/account.py",
                "                await self.reconciler.catch_up()\n",
                "                self.emit([LinkUp(self.now_ns)])\n                self.flush()\n"
                "                await self.reconciler.catch_up()\n",
            ),
        ),
        (f"{EVENTS}::test_F38_reads_that_fail_are_never_taken_for_flat",),
    ),
    Mutant(
        "M8",
        "a question that failed counts as: there is no such order",
        (
            (
                f"{P}/live/reconciliation.py",
                "        return await self.connection.session.find_order(\n"
                "            client_order_id=None if named else order.venue_text, order_id=named, since_ns=since\n        )\n",
                "        try:\n            return await self.connection.session.find_order(\n"
                "                client_order_id=None if named else order.venue_text, order_id=named, since_ns=since\n"
                "            )\n        except PepperstoneError:\n            return None\n",
            ),
        ),
        (f"{TRANSPORT}::test_F12_reads_that_fail_prove_nothing",),
    ),
    Mutant(
        "M9",
        "a snapshot that failed counts as: nothing is open",
        (
            (
                f"{P}/ctrader/client/reconcile.py",
                "        answer: oa.ReconcileRes = await desk.read(message, oa.ReconcileRes)\n",
                "        try:\n            answer: oa.ReconcileRes = await desk.read(message, oa.ReconcileRes)\n"
                "        except VenueError:\n            return [], []\n",
            ),
        ),
        (f"{EVENTS}::test_F38_reads_that_fail_are_never_taken_for_flat",),
    ),
    Mutant(
        "M10",
        "trade ids are made up",
        (
            (
                f"{P}/mapping/ids.py",
                "    return TradeId(deal.deal_id)\n",
                "    import uuid\n\n    return TradeId(uuid.uuid4().hex)\n",
            ),
        ),
        (f"{PROCESSES}::test_F84_killed_with_the_fill_in_hand_applies_it_once_under_its_own_id",),
    ),
    Mutant(
        "M11",
        "any certificate will do",
        (
            (
                f"{P}/network/tls.py",
                "    plain: Any = HostnameEndpoint",
                "    from twisted.internet.ssl import CertificateOptions\n\n    options = CertificateOptions()\n"
                "    plain: Any = HostnameEndpoint",
            ),
        ),
        ("tests/unit/network/test_tls.py::test_a_stranger_is_refused_and_told_nothing",),
    ),
    Mutant(
        "M12",
        "the intent to send is not flushed to the disk",
        ((f"{P}/common/journal.py", "        os.fdatasync(descriptor)", "        pass"),),
        (
            f"{PROCESSES}::test_F87_what_the_broker_does_not_keep_is_on_the_disk_before_it_leaves",
            f"{PROCESSES}::test_F87_a_note_that_the_disk_refuses_after_its_order_left_ends_new_risk",
        ),
    ),
    Mutant(
        "M13",
        "a short ticket is reported long",
        (
            (
                f"{P}/mapping/reports.py",
                "            PositionSide.LONG if state.side is Side.BUY else PositionSide.SHORT,\n"
                "            Quantity.from_decimal_dp(state.units, instrument.size_precision),\n",
                "            PositionSide.LONG,\n"
                "            Quantity.from_decimal_dp(state.units, instrument.size_precision),\n",
            ),
        ),
        (f"{SIDE}::test_F68_a_restart_finds_both_sides_with_their_true_deals",),
    ),
    Mutant(
        "M14",
        "a new token is used before it is kept",
        (
            (
                f"{P}/ctrader/client/tokens.py",
                "            await self._keep(self._unstored)\n",
                "            from pepperstone_adapter.network.promises import spawn\n\n"
                "            fresh = self._unstored\n"
                "            spawn(self._keep(fresh), lambda _none: None, lambda _error: None)\n"
                "            return fresh.access\n",
            ),
        ),
        (f"{SESSIONS}::test_F41_a_new_token_is_kept_before_it_is_used",),
    ),
)


def copy_of_the_tree(folder: Path) -> None:
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)


def run_tests(folder: Path, tests: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider", "--timeout=90", *tests],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the code in known ways; the named tests must go red.")
    parser.add_argument("names", nargs="*", help="mutants to make, e.g. M3 M11 (default: all)")
    wanted = {name.upper() for name in parser.parse_args().names}
    chosen = [mutant for mutant in MUTANTS if not wanted or mutant.name in wanted]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        copy_of_the_tree(folder)
        every = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
        healthy = run_tests(folder, every)
        if healthy.returncode:
            print(f"the tests are red without any mutant:\n{healthy.stdout[-3000:]}")
            return 1
        for mutant in chosen:
            originals = {file: (folder / file).read_text() for file, _, _ in mutant.changes}
            for file, old, new in mutant.changes:
                text = (folder / file).read_text()
                if text.count(old) != 1:
                    print(f"{mutant.name}: {file} has changed; the text to break stands there {text.count(old)} times")
                    return 1
                (folder / file).write_text(text.replace(old, new))
            started = time.monotonic()
            done = run_tests(folder, mutant.tests)
            killed = done.returncode == 1  # pytest: some test failed; anything else proves nothing
            survived += not killed
            verdict = "killed  " if killed else f"SURVIVED (pytest {done.returncode})"
            print(f"{mutant.name:4} {verdict} {time.monotonic() - started:5.1f} s  {mutant.says}", flush=True)
            for file, text in originals.items():
                (folder / file).write_text(text)
    print(f"{len(chosen) - survived} of {len(chosen)} killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())

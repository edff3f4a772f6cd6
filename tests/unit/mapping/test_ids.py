"""Names in two worlds, and the store that remembers them."""

import os
import shutil
import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mapping.id_store import IdStore, OrderRecord
from pepperstone_adapter.mapping.ids import Leg, is_our_tag, leg_text, tag_of, venue_text
from tests.kit.journal import full_disk, refuse_to_flush

ID = "O-20261121-054900-x4567-EmaCross-000-12"


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "Pd")), min_size=1, max_size=80), st.integers(1, 60))
def test_a_venue_text_fits_and_is_the_same_every_time(client_order_id: str, longest: int) -> None:
    text = venue_text(client_order_id, longest)
    assert 0 < len(text) <= longest
    assert text == venue_text(client_order_id, longest)
    if len(client_order_id) <= longest:
        assert text == client_order_id


def test_long_ids_that_differ_in_one_letter_stay_apart() -> None:
    ids = [f"{ID}-{n}" for n in range(2_000)]
    assert len({venue_text(i, 29) for i in ids}) == len(ids)


def test_legs_are_named_after_their_position() -> None:
    assert leg_text("7001", Leg.STOP_LOSS) == "7001-SL"
    assert leg_text("7001", Leg.TAKE_PROFIT) == "7001-TP"
    assert Leg.STOP_LOSS.sibling is Leg.TAKE_PROFIT


def test_tags_say_whose_order_it_is() -> None:
    assert is_our_tag(tag_of("EmaCross-000", 100))
    assert tag_of("EmaCross-000", 6) == "nt:Ema"
    assert not is_our_tag("") and not is_our_tag("someone")  # noqa: PT018


def record(n: int = 1, **changes: object) -> OrderRecord:
    base = OrderRecord(
        client_order_id=f"{ID}-{n}",
        venue_text=venue_text(f"{ID}-{n}", 29),
        strategy_id="EmaCross-000",
        symbol="EURUSD",
        side=Side.BUY,
        units=Decimal("0.1"),
        kind="entry",
        created_ns=n,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_store_survives_and_finds_by_every_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "orders.sqlite"
    leg = record(2, kind="leg", leg=Leg.STOP_LOSS, parent=record().client_order_id)
    with IdStore(path) as store:
        store.add([record(), leg])
        store.note(record().client_order_id, order_id="5001", position_id="7001")
        store.note(leg.client_order_id, order_id="7001-SL")
        store.place_legs(record().client_order_id, "7001")
    with IdStore(path) as store:
        found = store.by_order_id("5001")
        assert found == replace(record(), order_id="5001", position_id="7001")
        assert store.by_venue_text(record().venue_text) == found
        assert [r.leg for r in store.legs_of("7001")] == [Leg.STOP_LOSS]
        store.note(record().client_order_id, ended=True)
        assert [r.client_order_id for r in store.open_records()] == [leg.client_order_id]
        assert store.forget_ended(before_ns=10) == 1
        assert store.get(record().client_order_id) is None


def test_an_order_is_noted_once_or_not_at_all(tmp_path: Path) -> None:
    with IdStore(tmp_path / "orders.sqlite") as store:
        store.add([record()])
        with pytest.raises(DataError, match="could not be noted before sending"):
            store.add([record(3), record()])
        assert store.get(record(3).client_order_id) is None  # all or none


def test_an_intent_outlives_a_process_that_is_killed_before_it_is_a_row(tmp_path: Path) -> None:
    """Also with a torn line behind it: of an order that never left."""
    path, left = tmp_path / "orders.sqlite", tmp_path / "left.sqlite"
    with IdStore(path) as store:
        store.add([record(1)])
        store.intend(record(2))
        shutil.copy(path, left)
        for end in ("-wal", "-intents"):
            shutil.copy(f"{path}{end}", f"{left}{end}")
    with Path(f"{left}-intents").open("ab") as lines:
        lines.write(b"('O-torn")
    for _ in range(2):  # and is a row from then on
        with IdStore(left) as store:
            assert store.open_records() == [record(1), record(2)]
            with pytest.raises(DataError, match="sent before"):
                store.intend(record(2))


@pytest.mark.parametrize("settled", [False, True])
def test_an_intent_has_a_name_of_its_own(tmp_path: Path, settled: bool) -> None:
    with IdStore(tmp_path / "orders.sqlite") as store:
        store.intend(record(1))
        if settled:
            store.flush_soon()
        for taken in (
            replace(record(2), client_order_id=f"{ID}-1"),
            replace(record(2), venue_text=record(1).venue_text),
        ):
            with pytest.raises(DataError, match="sent before"):
                store.intend(taken)
            with pytest.raises(DataError, match="could not be noted"):
                store.add([record(3), taken])
        assert store.open_records() == [record(1)]
        store.note(f"{ID}-1", ended=True)
        store.forget_ended(before_ns=10)
        store.intend(record(1))  # forgotten


def test_an_intent_that_finds_no_place_is_refused_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    with IdStore(path) as store:
        store.intend(record(1))
        with full_disk(store), pytest.raises(DataError, match="could not be noted before sending"):
            store.intend(record(2))
        store.intend(record(2))
        assert [r.created_ns for r in store.open_records()] == [1, 2]


def test_an_intent_that_cannot_become_a_row_is_told_and_kept(tmp_path: Path) -> None:
    told: list[Exception] = []
    with IdStore(tmp_path / "orders.sqlite", told.append) as store:
        store._db.execute("PRAGMA query_only=ON")
        store.intend(record(1))
        store.flush_soon()
        assert "readonly" in str(told[0])
        assert store.by_venue_text(record(1).venue_text) is None  # and reading goes on
    with IdStore(tmp_path / "orders.sqlite") as store:
        assert store.open_records() == [record(1)]


def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    path.write_bytes(b"something else entirely, long enough to be looked at")
    with pytest.raises(DataError, match="not a usable order store"):
        IdStore(path)
    assert path.read_bytes().startswith(b"something else")


def test_a_store_that_cannot_be_opened_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        IdStore(tmp_path)  # a folder


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    IdStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="newer version"):
        IdStore(path)


def test_what_a_failed_flush_may_have_lost_stands_in_the_main_file_after_the_next_one(tmp_path: Path) -> None:
    """A system says once that it could not write; the next flush succeeds, over a log with a hole."""
    path, alone = tmp_path / "orders.sqlite", tmp_path / "alone.sqlite"
    with IdStore(path) as store:
        store.add([record(1)])
        log = os.dup(store._flusher._file)
        refuse_to_flush(store._flusher)
        with pytest.raises(DataError, match="could not be noted"):
            store.add([record(2)])
        os.dup2(log, store._flusher._file)
        os.close(log)
        store.add([record(3)])
        shutil.copy(path, alone)  # and not its log
    with IdStore(alone) as store:
        assert [found.created_ns for found in store.open_records()] == [1, 2, 3]

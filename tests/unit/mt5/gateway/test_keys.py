from pathlib import Path

from pepperstone_adapter.mt5.gateway.keys import OrderKeys


def test_a_key_is_claimed_once_and_keeps_its_answer(tmp_path: Path) -> None:
    keys = OrderKeys(tmp_path / "keys.sqlite")
    assert keys.claim("k1", 1) is None
    kept = keys.claim("k1", 2)
    assert kept is not None
    assert kept.answer is None  # pending: outcome unknown to whoever asks now
    keys.settle("k1", {"outcome": "answered", "data": {"deal": 5}})
    again = keys.claim("k1", 3)
    assert again is not None
    assert again.answer == {"outcome": "answered", "data": {"deal": 5}}


def test_a_pending_key_survives_a_restart_as_pending(tmp_path: Path) -> None:
    OrderKeys(tmp_path / "keys.sqlite").claim("k1", 1)
    kept = OrderKeys(tmp_path / "keys.sqlite").claim("k1", 2)
    assert kept is not None
    assert kept.answer is None


def test_release_forgets_only_what_was_never_answered(tmp_path: Path) -> None:
    keys = OrderKeys(tmp_path / "keys.sqlite")
    keys.claim("never sent", 1)
    keys.release("never sent")
    assert keys.claim("never sent", 2) is None
    keys.claim("sent", 3)
    keys.settle("sent", {"x": 1})
    keys.release("sent")
    assert keys.look("sent") is not None


def test_old_settled_keys_go_and_pending_ones_stay(tmp_path: Path) -> None:
    keys = OrderKeys(tmp_path / "keys.sqlite")
    keys.claim("done", 1)
    keys.settle("done", {})
    keys.claim("pending", 1)
    assert keys.forget_before(10) == 1
    assert keys.look("pending") is not None

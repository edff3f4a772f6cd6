from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.mt5.client.identity import comment_of, key_of, magic_of


@given(st.text(min_size=1, max_size=80))
def test_a_comment_always_fits_and_a_magic_is_always_positive(client_order_id: str) -> None:
    assert len(comment_of(client_order_id).encode("utf-16-le")) // 2 <= 29
    assert 0 < magic_of(client_order_id) < 2**63
    assert 8 <= len(key_of(client_order_id)) <= 64


def test_a_short_id_is_its_own_comment() -> None:
    assert comment_of("O-20220110-120000-001-001-1") == "O-20220110-120000-001-001-1"  # 27 units
    assert comment_of("O-20220110-120000-001-001-1000").endswith("-001-1000")  # 30 units do not fit


def test_the_magic_is_the_same_for_ever() -> None:
    # Orders at the broker outlive a release of ours: this number may never change.
    assert magic_of("O-1") == 5997745286585482459

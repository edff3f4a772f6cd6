from collections import namedtuple

import numpy as np
import pytest

from pepperstone_adapter.mt5.gateway.calls import BadCall, checked, plain
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE

ORDER = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "magic": 7, "comment": "O-1"}


@pytest.mark.parametrize(
    ("fn", "args", "error"),
    [
        ("eval", ["1"], "no such function"),
        ("__class__", [], "no such function"),
        ("shutdown", [], "no such function"),
        ("symbol_info", [], "takes 1"),
        ("symbol_info", ["A", "B"], "takes 1"),
        ("symbol_info", [1], "argument 1 must be str"),
        ("copy_ticks_from", ["EURUSD", 1.5, 10, 1], "argument 2 must be int"),
        ("copy_ticks_from", ["EURUSD", True, 10, 1], "argument 2 must be int"),
        ("order_calc_margin", [0, "EURUSD", 1, 1.1], "argument 3 must be float"),
        ("positions_get", [{"tickets": 1}], "bad argument 'tickets'"),
        ("order_send", [ORDER | {"volume": 1}], "bad field 'volume'"),
        ("order_send", [ORDER | {"volume": float("nan")}], "bad field 'volume'"),
        ("order_send", [ORDER | {"magic": -1}], "bad field 'magic'"),
        ("order_send", [ORDER | {"comment": "x" * 30}], "bad field 'comment'"),
        ("order_send", [ORDER | {"comment": "😀" * 15}], "bad field 'comment'"),
        ("order_send", [ORDER | {"surprise": 1}], "bad field 'surprise'"),
    ],
)
def test_what_is_outside_the_table_is_refused(fn: str, args: list[object], error: str) -> None:
    with pytest.raises(BadCall, match=error):
        checked(fn, args)


def test_keywords_are_told_from_positional_arguments() -> None:
    _, args, keywords = checked("history_deals_get", [{"position": 42}])
    assert (args, keywords) == ([], {"position": 42})
    _, args, keywords = checked("history_deals_get", [1, 2])
    assert (args, keywords) == ([1, 2], {})


def test_a_comment_of_29_units_is_allowed() -> None:
    checked("order_send", [ORDER | {"comment": "x" * 29}])


def test_results_become_plain_values() -> None:
    row = namedtuple("Row", "a b")(1, np.float64(0.5))
    assert plain((row,)) == [{"a": 1, "b": 0.5}]
    assert plain(np.zeros(0, TICKS_DTYPE)) == {"nd": "ticks", "raw": b""}
    with pytest.raises(BadCall, match="cannot travel"):
        plain(object())

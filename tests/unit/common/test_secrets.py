"""No accident shows a secret."""

import copy
import json
import pickle
import traceback
from dataclasses import dataclass

import pytest

from pepperstone_adapter.common.secrets import PLACEHOLDER, Secret

CANARY = "canary-7f3a"


@dataclass
class Settings:
    token: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda s: f"{s}",
        lambda s: f"{s!r:>40}",
        lambda s: "%s" % s,  # noqa: UP031
        lambda s: format(s, ">30"),
        lambda s: repr(Settings(s)),
        lambda s: repr([s, {"token": s}]),
        lambda s: json.dumps(s, default=str),
    ],
)
def test_no_way_of_printing_shows_it(show) -> None:
    shown = show(Secret(CANARY))
    assert CANARY not in shown
    assert PLACEHOLDER in shown


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash, len])
def test_copies_and_measures_are_refused_without_showing_it(leak) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Secret(CANARY))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_it_compares_with_secrets_only() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_it_gives_itself_to_the_one_who_asks() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(CANARY)
    assert not Secret("")


def test_a_wrong_type_is_refused_without_naming_the_value() -> None:
    with pytest.raises(TypeError) as caught:
        Secret(CANARY.encode())  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)

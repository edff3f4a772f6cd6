"""Prices that cannot be used are counted and told, never dropped in silence."""

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.openapi import messages as oa
from tests.kit.scripted_venue import ACCOUNT_ID, World


def test_spots_of_a_symbol_nobody_listed_are_told_at_the_first_and_the_tenth() -> None:
    world = World().join()
    for _ in range(11):
        world.venue.say(oa.SpotEvent(ctidTraderAccountId=ACCOUNT_ID, symbolId=999_999, bid=110_000))
    world.turn()
    told = [n.text for n in world.of(Notice) if "cannot be used" in n.text]
    assert [text.split(";")[0] for text in told] == [
        "prices that cannot be used: 1 so far",
        "prices that cannot be used: 10 so far",
    ]

"""The map of rooms is the one that the tests hold."""

from __future__ import annotations

from xml.etree import ElementTree

from docs import picture
from tests.test_rooms import MAY_IMPORT, ORDER


def test_committed_picture_is_up_to_date() -> None:
    committed = picture.TARGET.read_text(encoding="utf-8")
    assert committed == picture.picture(), "draw it again: python -m docs.picture"


def test_it_is_drawn_from_the_tables_of_the_tests() -> None:
    assert picture.declared("MAY_IMPORT") == MAY_IMPORT
    assert picture.declared("ORDER") == ORDER


def test_it_is_well_formed_and_names_every_room() -> None:
    root = ElementTree.fromstring(picture.picture())
    names = [node.text for node in root.iter() if node.get("class") == "name"]
    assert names == list(MAY_IMPORT)


def test_arrows_say_no_way_twice() -> None:
    assert picture.needed({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == [("b", "a"), ("c", "b")]
    assert picture.needed({"a": set(), "b": set(), "c": {"a", "b"}}) == [("c", "b"), ("c", "a")]


def test_arrows_reach_exactly_what_may_be_imported() -> None:
    reach: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for room, other in picture.needed(MAY_IMPORT):
        reach[room] |= {other} | reach[other]
    assert reach == MAY_IMPORT

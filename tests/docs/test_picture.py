"""The map of rooms is the one that the tests hold; docs/integration.md has its pictures."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest

from docs import picture, systems
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


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_pictures_of_systems_are_up_to_date(name: str) -> None:
    text = systems.picture(name)
    committed = (picture.ROOT / "docs" / f"system_{name}.svg").read_text(encoding="utf-8")
    assert committed == text, "draw it again: python -m docs.systems"
    ElementTree.fromstring(text)
    page = (picture.ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
    assert f"](system_{name}.svg)" in page


def test_blocks_of_systems_lie_in_the_picture_and_apart() -> None:
    for name, system in systems.SYSTEMS.items():
        for box in system.boxes:
            assert box.x + box.wide <= systems.WIDE, name
            assert box.y + box.high <= system.high, name
        inner = [box for box in system.boxes if not box.outer]
        for one, two in itertools.combinations(inner, 2):
            beside = one.x + one.wide <= two.x or two.x + two.wide <= one.x
            assert beside or one.y + one.high <= two.y or two.y + two.high <= one.y, (one, two)

"""Regions: no vector meets another, each at a multiple of its own size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.regions import LayerWidths, Regions, region

WIDTHS = st.lists(
    st.builds(LayerWidths, st.integers(1, 40), st.one_of(st.just(0), st.integers(1, 40))),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(("width", "places"), [(1, 1), (2, 2), (3, 4), (8, 8), (9, 16)])
def test_region(width: int, places: int) -> None:
    assert region(width) == places


@given(st.integers(1, 40), st.integers(1, 2), WIDTHS, st.integers(1, 5), st.sampled_from([1, 2, 8]))
def test_regions_are_aligned_and_apart(
    frame: int, parts: int, layers: list[LayerWidths], contexts: int, smallest: int
) -> None:
    regions = Regions.of(frame, parts, layers, contexts, smallest)
    blocks = [(base, regions.part * parts) for base in regions.frames]
    for n, layer in enumerate(layers):
        assert region(layer.output) <= regions.sizes[n] == 1 << regions.span(n)
        blocks += [
            (regions.states[n] + r * regions.sizes[n], regions.sizes[n])
            for r in range(2 * contexts)
        ]
        # the controller joins the number of a region to the base without an adder
        assert regions.states[n] % (2 * region(contexts) * regions.sizes[n]) == 0
        if layer.hidden:
            blocks.append((regions.hidden[n], max(region(layer.hidden), smallest)))
    assert regions.part >= frame
    places = [base + place for base, size in blocks for place in range(size)]
    assert len(set(places)) == len(places)
    assert max(places) < regions.depth
    assert all(base % region(size) == 0 for base, size in blocks)
    assert min(size for _, size in blocks) >= smallest


def test_two_frames_and_a_state_by_hand() -> None:
    regions = Regions.of(3, 1, [LayerWidths(3)])
    assert (regions.frames, regions.states, regions.depth) == ((0, 4), (8,), 16)
    assert (regions.part, regions.sizes, regions.hidden) == (4, (4,), (0,))


def test_two_directions_and_contexts_by_hand() -> None:
    layers = [LayerWidths(2, 5), LayerWidths(2, 5)]
    regions = Regions.of(3, 2, layers, contexts=3)
    # frames of two parts of 4; states of 2 regions in 4 contexts; h in 8 places
    assert (regions.part, regions.frames) == (4, (0, 8))
    assert (regions.states, regions.hidden) == ((16, 32), (48, 56))
    assert regions.depth == 64

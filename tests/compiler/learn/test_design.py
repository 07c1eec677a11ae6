"""Designs that train: widths of sums, of the forward pass and of what leaves on the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.abi.wire import sums_abreast
from compiler.array.needs import design_for
from compiler.array.widths import left_sum_bits, most_left, row_left
from compiler.learn.design import training_design
from compiler.learn.layout import LearningLayout
from compiler.learn.transposed import turns_of
from compiler.lower.compile import compile_model
from compiler.lower.learning.masters import learning_passes
from csb_format.scales import DesignError
from tests.engine.learn.networks import network


def test_sums_of_the_forward_pass_keep_their_width() -> None:
    model = network()
    plain = design_for(model, 4, 4, head=True)
    for frames in (0, 48):
        design = training_design(model, 4, 4, 48, frames)
        assert design.forward_bits == plain.acc_bits < design.acc_bits
        with pytest.raises(DesignError, match=r"the model's sums have up to 2\d bits, .* pass 18:"):
            compile_model(model, replace(design, forward=18), head=True)
    with pytest.raises(DesignError, match=f"forward = {design.acc_bits + 1}: sums have"):
        replace(design, forward=design.acc_bits + 1)
    with pytest.raises(DesignError, match="forward = 20: of a design that trains"):
        replace(plain, forward=20)


@pytest.mark.parametrize(("pes", "lanes"), [(4, 4), (16, 4), (4, 8)])
def test_a_column_leaves_in_one_beat_or_two(pes: int, lanes: int) -> None:
    design = training_design(network(banks=8, k=(1, 1, 1)), pes, lanes, 8, 16)
    share = sums_abreast(design)
    assert share * turns_of(design) == lanes
    assert turns_of(design) <= 2
    wider = replace(design, act_bits=16)  # beats of states with more room
    assert sums_abreast(wider) >= share
    assert left_sum_bits(design) <= design.acc_bits


@pytest.mark.parametrize(("bits", "told"), [(8, True), (16, False)])
def test_gradients_tell_formats_of_rows_where_multipliers_have_room(bits: int, told: bool) -> None:
    model = network(cell="gru", value_bits=bits, act_bits=bits)
    image = compile_model(model, training_design(model, 4, 4, 8, 16), head=True)
    assert (row_left(image.design) > 0) == told
    layouts = [LearningLayout(image, 16, given) for given in learning_passes(image)]
    formats = [at for at in layouts if at.in_turn]
    assert formats
    assert all(at.marks_rows == told for at in formats)
    assert all(at.span == np.ptp(at.fracs) <= most_left(image.design) for at in formats)

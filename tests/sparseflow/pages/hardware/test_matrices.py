"""Every matrix bank by bank, and its picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from csb_format.random_models import random_network
from sparseflow.pages.figures import matrices as matrices_of
from sparseflow.pages.hardware.matrices import PLACES, ROWS, matrices, strip


def test_figures_and_picture_are_those_of_the_masks() -> None:
    model = random_network(np.random.default_rng(1), 300, 16, 4, (2, 1, 1))  # 75 columns a bank
    masks = {name: matrix.to_mask() for name, matrix in matrices_of(model).items()}
    found = matrices(model)
    assert [each["name"] for each in found] == list(masks)
    for each in found:
        mask, banks = masks[each["name"]], each["banks"]
        assert (each["rows"], each["columns"]) == mask.shape
        assert each["nonzeros"] == mask.sum() == mask.shape[0] * banks * int(each["kept"])
        assert each["shown"] % each["bank_width"] == 0
        assert each["shown"] <= PLACES
        shown = mask[:ROWS, : each["shown"]]
        assert each["picture"] == [row.nonzero()[0].tolist() for row in shown]
        drawn = [e.get("class") for e in ET.fromstring(strip(each))]
        assert drawn.count("kept") == shown.sum()
        assert drawn.count("bank") == ROWS * each["shown"] // each["bank_width"]


def test_a_name_is_no_markup() -> None:
    found = matrices(random_network(np.random.default_rng(1), 16, 16, 4, (1, 1, 1)))[0]
    label = ET.fromstring(strip(found | {"name": '<b>"'})).get("aria-label")
    assert label == 'Weights kept in the first 8 rows and 16 columns of <b>"'

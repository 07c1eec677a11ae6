"""Raw features in C: the same integers and packets as in Python, whatever the compiler does."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from boards.host.c_model import model_header
from boards.host.inputs import integers_of
from boards.link.c_header import write_headers
from boards.link.protocol import BUS_BITS
from compiler.abi.frames import Stimulus, frame_packets
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import DesignError, Fixed, InputScale, Model
from csb_format.random_models import random_model, random_network

HERE = Path(__file__).parent
RNG = np.random.default_rng
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
NAMES = ("still", 'a "b"??=\\n', "l\u00e4uft")


def scaled(model: Model, seed: int) -> Image:
    """With a scale of all magnitudes, and names that C would misread."""
    random, inputs = RNG(seed), model.layers[0].input_size
    scale = InputScale(random.normal(0, 50, inputs), 10 ** random.uniform(-6, 2, inputs))
    model = replace(model, input_scale=scale, label_names=NAMES if model.head else ())
    return compile_model(model, design_for(model, 4, 2))


def raw_of(image: Image, frames: int) -> npt.NDArray[np.float64]:
    """Features around all integers of the format, at their ties too, and far outside it."""
    model, random = image.model, RNG(5)
    scale, fixed = model.input_scale, model.layers[0].input
    assert scale is not None
    near = random.integers(2 * fixed.min, 2 * fixed.max, (frames, len(scale))) / 2
    near += random.choice([0.0, 0.5, 1e-3, -1e-9], near.shape)
    raw = near * fixed.lsb / scale.factor + scale.mean
    raw[0], raw[1], raw[2] = 0.0, 5e-324, -1e30
    return np.asarray(raw, np.float64)


def built(image: Image, folder: Path, options: list[str]) -> Path:
    write_headers(folder)
    (folder / "model.h").write_text(model_header(image))
    with resources.as_file(resources.files("boards") / "c") as sources:
        files = [str(HERE / "input.c"), str(sources / "sparseflow_input.c")]
        command = ["gcc", *STRICT, *options, f"-I{folder}", f"-I{sources}", *files]
        subprocess.run([*command, "-o", str(folder / "input")], check=True)
    return folder / "input"


def run(program: Path, raw: npt.NDArray[np.float64]) -> list[str]:
    text = "\n".join(f"{bits:016x}" for bits in raw.ravel().view(np.uint64).tolist())
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


NETWORKS = [
    (random_model(RNG(1), 7, 6, 2, 2, 1, 8, 8, 3), ["-O0", "-fsanitize=address,undefined"]),
    (random_model(RNG(2), 5, 4, 2, 1, 1), ["-O3", "-march=native", "-ffp-contract=fast"]),
    (random_network(RNG(3), 6, 6, 2, (1, 1, 1), directions=2), ["-O2"]),
]


@pytest.mark.parametrize(("model", "options"), NETWORKS, ids=range(len(NETWORKS)))
def test_packets_in_c_are_those_of_python(model: Model, options: list[str], tmp_path: Path) -> None:
    image = scaled(model, 7)
    raw = raw_of(image, 500)
    frames, given = integers_of(image.model, raw)
    assert given == "raw"
    assert {frames.min(), frames.max()} == {model.layers[0].input.min, model.layers[0].input.max}
    assert len(np.unique(frames)) > 200 or model.layers[0].input.width < 9
    (packet,) = frame_packets(Stimulus.of(image, [frames]), BUS_BITS)
    results, *found = run(built(image, tmp_path, options), raw)
    assert results == "0 0"
    assert [int(word) for word in found[: len(packet)]] == packet
    assert found[len(packet) :] == list(image.model.label_names)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    image = scaled(NETWORKS[0][0], 7)
    raw = raw_of(image, 3)
    raw[0, -1] = value
    assert run(built(image, tmp_path, ["-O1"]), raw)[0] == "-17 -17"


def test_the_largest_that_python_takes(tmp_path: Path) -> None:
    """Around the end of float32 both refuse the same."""
    model = replace(NETWORKS[0][0], input_scale=InputScale(np.zeros(7), np.ones(7)))
    image = compile_model(model, design_for(model, 4, 2))
    program, end = built(image, tmp_path, ["-O1"]), (2 - 2**-24) * 2.0**127
    for value, taken in [(np.nextafter(end, 0), True), (end, False)]:
        raw = np.full((1, 7), value)
        assert (run(program, raw)[0] == "0 0") == taken
        if taken:
            assert integers_of(model, raw)[0].tolist() == [[model.layers[0].input.max] * 7]
        else:
            with pytest.raises(ValueError, match="no finite float32"):
                integers_of(model, raw)


def test_coarse_formats_keep_their_unit() -> None:
    """2**-3 is no 0.1 and no 0.0."""
    (layer,) = NETWORKS[1][0].layers
    finer = [Fixed(f.width, f.frac + layer.input.frac + 3) for f in layer.gate_formats("weight_ih")]
    i, f, g, o = finer
    coarse = replace(layer, input=Fixed(16, -3), weight_ih_format=(i, f, g, o))
    model = replace(NETWORKS[1][0], layers=(coarse,))
    text = model_header(compile_model(model, design_for(model, 4, 2)))
    assert "NULL, NULL, 0x1.0000000000000p-3," in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_without_a_scale_c_says_so_and_needs_none(tmp_path: Path) -> None:
    model = NETWORKS[0][0]
    image = compile_model(model, design_for(model, 4, 2))
    assert run(built(image, tmp_path, []), np.zeros((2, 7)))[0] == "-8 -8"


def test_what_makes_no_header() -> None:
    both = random_network(RNG(3), 6, 6, 2, (1, 1, 1), layers=2, directions=2)
    with pytest.raises(DesignError, match="runs as 2 programs, the C driver starts one"):
        model_header(compile_model(both, design_for(both, 4, 2)))
    model = NETWORKS[0][0]
    image = compile_model(model, design_for(model, 4, 2))
    for name in ("", "2x", "a-b", "a;b"):
        with pytest.raises(ValueError, match="give an identifier of C"):
            model_header(image, name)

"""docs/bus.md, docs/streaming.md and docs/link.md: what they write down runs as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from textwrap import indent
from types import CodeType
from typing import Any

import numpy as np
import pytest

from boards.host.c_model import model_header
from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from hdl.dram.reader import ReadBus
from hdl.dram.streamed_core import StreamedCore
from tests.docs.blocks import ROOT, one, reader_shell

SMALL = random_model(np.random.default_rng(1), 6, 8, 2, 1, 1)
OTHER = random_model(np.random.default_rng(2), 6, 8, 2, 1, 1)


BENCH = """
`timescale 1ns/1ps
module bench;
reg aclk = 0, aresetn = 0, tvalid = 0, tlast = 0;
wire tready = 1;
wire tuser;
SNIPPET
integer n;
always #1 aclk = ~aclk;
initial begin
    repeat (2) @(negedge aclk);
    aresetn = 1;
    for (n = 0; n < 9; n = n + 1) begin
        if (n % 3 == 1) begin tvalid = 0; @(negedge aclk); end
        tvalid = 1; tlast = n % 3 == 2;
        #0.5 $write("%0d", tuser);
        @(negedge aclk);
    end
    $finish;
end
endmodule
"""
JOB = """
#include "sparseflow.h"
extern void write_all(void *, const uint8_t *, size_t);
extern int read_one(void *);
int job(struct sparseflow_image image, const uint32_t *packet, size_t words, uint32_t *out,
        size_t out_words);
int job(struct sparseflow_image image, const uint32_t *packet, size_t words, uint32_t *out,
        size_t out_words) {
    int device = 0;
SNIPPET
    return result;
}
"""
RAW = """
#include "model.h"
#define FRAMES 5
int scaled(struct sparseflow board, const double *raw);
int scaled(struct sparseflow board, const double *raw) {
SNIPPET
    return result;
}
"""
BATCH = """
#include "model.h"
#define STREAMS 3
int batch(struct sparseflow board, const double *features_of_0, const double *features_of_2,
          uint32_t *words, uint32_t *out);
int batch(struct sparseflow board, const double *features_of_0, const double *features_of_2,
          uint32_t *words, uint32_t *out) {
SNIPPET
    return result;
}
"""


def compiled(page: str, heading: str | None = None) -> CodeType:
    return compile(one(page, "python", heading), page, "exec")


def test_the_bus_is_written_with_what_the_page_names(tmp_path: Path) -> None:
    exec(compiled("docs/bus.md"), {"design": design_for(SMALL, 4, 2), "folder": tmp_path})
    text = (ROOT / "docs/bus.md").read_text("utf-8")
    named = re.search(r"writes module `(\w+)`.*?`(\w+\.h)`.*?`(\w+\.vlt)`", text, re.S)
    assert named is not None
    assert {named[2], named[3]} <= {path.name for path in tmp_path.iterdir()}
    verilog = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.v"))
    assert f"module {named[1]}(" in verilog
    for row in re.findall(r"^\| `(s_axi|s_axis|m_axis)_\*`", text, re.M):
        assert f"{row}_" in verilog


def test_the_register_for_tuser_marks_the_first_word(tmp_path: Path) -> None:
    """In a module of its own: images of three words, the middle one with a pause before it."""
    (tmp_path / "bench.v").write_text(BENCH.replace("SNIPPET", one("docs/bus.md", "verilog")))
    done = reader_shell("iverilog -g2005 -o bench bench.v && vvp -n bench", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("100100100"), done.stdout


def test_the_matrix_is_laid_out_and_the_block_is_made() -> None:
    from hdl.dram.matrix import lay_out

    names: dict[str, Any] = {
        "model": SMALL, "design": design_for(SMALL, 4, 2, streamed=True), "bus": ReadBus(128),
        "compile_model": compile_model, "lay_out": lay_out, "ReadBus": ReadBus,
        "StreamedCore": StreamedCore,
    }  # fmt: skip
    exec(compiled("docs/streaming.md", "Matrices in DRAM"), names)
    matrix: Any = names["matrix"]
    assert matrix.length == len(matrix.data)
    assert 0 <= matrix.padding < 128
    assert isinstance(names["board"], StreamedCore)
    covered = re.search(r"covers (\d+) cycles", (ROOT / "docs/streaming.md").read_text("utf-8"))
    assert covered is not None
    assert int(covered[1]) == ReadBus().covered_latency


def test_streams_share_the_words_of_the_page() -> None:
    """Three of its eight are there; one of them ends after a frame."""
    names: dict[str, Any] = {
        "model": SMALL, "pes": 4, "lanes": 2, "design_for": design_for, "Stimulus": Stimulus,
        "compile_model": compile_model,
        "sequences": random_frames(np.random.default_rng(3), SMALL, [2, 1, 2]),
    }  # fmt: skip
    exec(compiled("docs/streaming.md", "Streams that share the words"), names)
    assert names["stimulus"].closes.tolist() == [False, False, True, False, True]


def test_the_driver_answers_with_the_model_on_the_line() -> None:
    """The page's own words, but for the port: behind it is the integer model."""
    text = one("docs/link.md", "python")
    port = re.search(r'"serial:[^"]*"', text)
    assert port is not None
    frames, more = random_frames(np.random.default_rng(3), SMALL, [4, 3])
    names: dict[str, Any] = {
        "design": design_for(SMALL, 4, 2), "model": SMALL, "another": OTHER,
        "frames": frames, "more": more,
    }  # fmt: skip
    exec(compile(text.replace(port[0], '"model"'), "link.md", "exec"), names)
    (trace,) = IntegerModel(SMALL).run([np.concatenate([frames, more])])
    assert np.array_equal(names["states"].hidden, trace.hidden[len(frames) :])


def test_the_c_of_the_page_compiles_with_the_headers_it_names(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.fail("gcc is missing: sudo apt-get install -y gcc libc6-dev")
    command = one("docs/link.md", "sh", "In C")
    done = reader_shell(command.replace("FOLDER", "headers"), tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "job.c").write_text(
        JOB.replace("SNIPPET", indent(one("docs/link.md", "c", "In C"), "    "))
        + RAW.replace("SNIPPET", indent(one("docs/link.md", "c", "Raw features in C"), "    "))
        + BATCH.replace("SNIPPET", indent(one("docs/link.md", "c", "Batches in C"), "    "))
    )
    image = compile_model(SMALL, design_for(SMALL, 4, 2))
    (tmp_path / "headers/model.h").write_text(model_header(image))
    words = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "job.c"]
    words += ["-I", "headers", "-I", str(ROOT / "boards/c")]
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr

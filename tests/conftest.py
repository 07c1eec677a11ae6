"""What every test shares: reproducible randomness and the environment of the tools."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.placement import Placement
from compiler.array.program import Instruction, Place, Sink
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel, Schedule
from csb_format.cells import cell_named
from csb_format.cells.cell import reaches
from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.random_models import random_frames, random_model, random_network
from csb_format.scales import DesignError
from engine.reference import IntegerModel, Trace
from sim.check.compare import Comparison, compare
from tests import cpu_budget
from tests.cpu_budget import *  # noqa: F403
from tests.property_sets import OPTION, PropertySets
from tests.property_sets import property_sets as property_sets
from tests.quick import *  # noqa: F403

# Before torch is imported: spinning threads would take the cores from the simulators.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Distributions ship Yosys releases that Amaranth refuses.
os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")

# Examples follow from each test's source; slow machines are no failures.
settings.register_profile("sparseflow", derandomize=True, deadline=None)
settings.load_profile("sparseflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the parts of this file."""
    cpu_budget.pytest_addoption(parser)
    parser.addoption(OPTION, metavar="FOLDER", help="property sets of others")


def pytest_configure(config: pytest.Config) -> None:
    """Plugins of the parts of this file."""
    cpu_budget.pytest_configure(config)
    config.pluginmanager.register(PropertySets(), "property sets")


def pytest_collection_finish() -> None:
    """What is imported stays: garbage is looked for seldom, among what tests have made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """State where randomness comes from, so that a failure can be run again."""
    hashes = os.environ.get("PYTHONHASHSEED", "random")
    return [
        "seeds: hypothesis derandomised (each example follows from the test's source); "
        f"NumPy and torch are seeded in each test; PYTHONHASHSEED={hashes}"
    ]


Pick = Callable[[int, int], int]  # a whole number between two, both included


def role_of(image: Image, number: int, now: Instruction) -> tuple[str, int]:
    """Which matrix a pass of a program multiplies, of which of its layers: by what it reads."""
    part = image.parts[number]
    regions, shapes = part.needs.regions(number), part.needs.programs[number]
    if now.source_kind == Place.FRAME:
        return "ih", now.source // regions.part
    if now.source_kind == Place.FIXED and any(s.resets for s in shapes):
        return "hh", regions.reset.index(now.source)
    if now.source_kind == Place.FIXED and now.source in regions.linear:
        return "head", regions.linear.index(now.source)
    if now.source_kind == Place.FIXED:
        hidden = [at if s.hr else -1 for s, at in zip(shapes, regions.hidden, strict=True)]
        return "hr", hidden.index(now.source)
    layer = regions.states.index(now.source)
    if now.source_kind == Place.OLD:
        return "hh", layer
    return ("head", layer) if now.sink == Sink.PROJECT else ("ih", layer + 1)


@dataclass(frozen=True)
class Network:
    """A random network and the smallest random array that runs it."""

    model: Model
    image: Image
    contexts: int


def draw_network(pick: Pick, **fixed: Any) -> Network:
    """Layers, directions, projection, head, contexts, widths and array, all as ``pick`` says."""
    cell = fixed.get("cell", "lstm")
    layers = fixed.get("layers") or pick(1, 3)
    directions = fixed.get("directions") or (pick(0, 3) == 0) + 1
    lanes = 1 << pick(0, 3)
    given, hidden = lanes + pick(0, 9), lanes + pick(0, 9)
    projection = lanes + pick(0, 7) if fixed.get("projection", pick(0, 2) == 0) else 0
    projection *= cell == "lstm"
    output = projection or hidden
    columns = (min(given, directions * output), output, hidden)
    times = [pick(1, size // lanes) for size in columns]
    if layers > 1 and directions == 1:  # layers read what others write: the same banks
        times[0] = times[1] = min(times[:2])
    seed = pick(0, 9999)
    kept = (drawn_k(pick, cell, fixed), drawn_k(pick, cell, fixed), pick(0, 4))
    value_bits, act_bits = pick(4, 18), pick(6, 18)
    head = pick(1, 9) if directions == 1 and pick(0, 1) else None
    between = [pick(1, 3 * lanes + 5) for _ in range(fixed.get("hidden", 0))]
    if between:
        head = pick(1, 9)
    model = random_network(
        np.random.default_rng(seed),
        given,
        hidden,
        (lanes * times[0], lanes * times[1], lanes * times[2]),
        kept,
        layers,
        directions,
        projection,
        value_bits,
        act_bits,
        head=head,
        cell=cell,
        reach=drawn_reaches(pick, act_bits, layers * directions) if fixed.get("reaches") else 16,
        hidden=between,
    )
    alike = not any(g.parts for s in model.shape.layers for g in s.geometries.values())
    if fixed.get("by_gate") and alike:  # all gates by chance, or all cut to banks of one column
        return draw_network(pick, **fixed | {"differ": True})
    return _on_array(model, lanes, pick, fixed)


def drawn_reaches(pick: Pick, act_bits: int, layers: int) -> list[int]:
    """One of each layer; neighbours have others."""
    there, at = reaches(act_bits), pick(0, 4)
    return [there[(at + n * pick(1, len(there) - 1)) % len(there)] for n in range(layers)]


def drawn_k(pick: Pick, cell: str, fixed: dict[str, Any]) -> int | tuple[int, ...]:
    """Of all gates, or with ``by_gate`` of each."""
    if not fixed.get("by_gate"):
        return pick(0, 4)
    drawn = [pick(0, 4) for _ in cell_named(cell).gate_names]
    return (0, *drawn[1:-1], 1) if fixed.get("differ") else tuple(drawn)


def _on_array(model: Model, lanes: int, pick: Pick, fixed: dict[str, Any]) -> Network:
    """With an array and lanes of random size, with ``uneven`` such that not all PEs have rows."""
    abreast = cell_named(model.cell).abreast
    pes, contexts = abreast * pick(1, 8), pick(1, 3)
    units = [n for n in range(1, lanes + 1) if lanes % n == 0 and pes // abreast % n == 0]
    projectors = [n for n in range(1, lanes + 1) if lanes % n == 0 and pes % n == 0]
    projectors += [n * lanes for n in (2, 4, 8) if pes % (n * lanes) == 0]
    if fixed.get("uneven"):
        pes, contexts = pes + abreast * pick(0, 2 * lanes), pick(1, 6)
        several = (2 * lanes, 4 * lanes)
        units = [n for n in range(1, 4 * lanes + 1) if lanes % n == 0 or n in several]
        units = [n for n in units if n <= pes // abreast]
        projectors = [n for n in projectors if n <= pes]
    chosen: dict[str, Any] = {"head": model.head is not None, "contexts": contexts}
    if pick(0, 1):
        chosen["units"] = units[pick(0, len(units) - 1)]
    if pick(0, 1) and (model.head or model.layers[0].projection):
        chosen["projectors"] = projectors[pick(0, len(projectors) - 1)]
    streamed = fixed.get("streamed", False)
    options = {"fan_in": pick(2, 6), "streamed": streamed, "deep": bool(pick(0, 1))}
    if fixed.get("padded"):  # gates that keep fewer wait for others
        options["by_gate"] = False
    design = design_for(model, pes, lanes, **chosen, **options)
    return Network(model, compile_model(model, design, head=chosen["head"]), contexts)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Network]:
    """See :func:`draw_network`."""
    return draw_network


@pytest.fixture(scope="session")
def seeded() -> Callable[..., tuple[Network, Pick]]:
    """A network by a seed, and what goes on drawing."""

    def drawn(seed: int, **fixed: Any) -> tuple[Network, Pick]:
        rng = np.random.default_rng(seed)

        def pick(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        return draw_network(pick, **fixed), pick

    return drawn


@pytest.fixture(scope="session")
def role() -> Callable[..., tuple[str, int]]:
    """See :func:`role_of`."""
    return role_of


# M, N, E, row groups; matrix, vector, slots, cells, output depth; index, value, act bits
DESIGNS = [
    Design(4, 1, 1, 5, 10, 16, 2, 7, 9, 4, 4, 6, program_depth=8),
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, program_depth=8, projectors=1, linear=5),
    Design(8, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, program_depth=8, contexts=3, deep=True),
    Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 16, program_depth=8, projectors=8, contexts=2),
    Design(
        16, 8, 4, 7, 14, 16, 2, 3, 7, 2, 18, 18, program_depth=8, projectors=2, fan_in=2, deep=True
    ),
    Design(
        16, 1, 1, 9, 30, 32, 3, 12, 12, 1, 16, 6, program_depth=8, projectors=4, linear=9, deep=True
    ),
    Design(
        4, 8, 1, 2, 8, 8, 4, 8, 8, 1, 4, 16, program_depth=8, projectors=4, fan_in=8, shallow=True
    ),
]


DESIGNS[4:6] = [replace(design, deep=True) for design in DESIGNS[4:6]]
# vector banks and states in blocks
DESIGNS.append(replace(DESIGNS[2], vector_depth=140, cells=33, act_bits=10))


@pytest.fixture(
    params=DESIGNS, ids=lambda d: f"M{d.pes}-N{d.lanes}-E{d.units}-Q{d.projectors}-a{d.act_bits}"
)
def design(request: pytest.FixtureRequest) -> Design:
    """Each of the small designs."""
    chosen: Design = request.param
    return chosen


@dataclass(frozen=True)
class Case:
    """A model, the image that runs it, and sequences with the states they must give."""

    model: Model
    image: Image
    sequences: list[IntArray]

    @property
    def reference(self) -> IntegerModel:
        return IntegerModel(self.model)

    @property
    def levels(self) -> list[list[Trace]]:
        return self.reference.run_levels(self.sequences)

    @property
    def traces(self) -> list[Trace]:
        return self.levels[-1]

    @property
    def placement(self) -> Placement:
        """Of what leaves first."""
        found = self.image.parts[0].emissions[0].placement
        assert isinstance(found, Placement)
        return found

    @property
    def schedule(self) -> Schedule:
        """Of all sequences, one after the other."""
        first = [step == 0 for sequence in self.sequences for step in range(len(sequence))]
        return CycleModel(self.image).run(len(first), first)

    def compare(self, outcome: Outcome) -> Comparison:
        """Of a run of all sequences, one after the other."""
        return compare(Stimulus.of(self.image, self.sequences), outcome, self.levels)


MakeCase = Callable[..., Case]


def build_case(
    seed: int,
    sizes: tuple[int, int, int, int, int],
    array: tuple[int, int],
    lengths: Sequence[int] = (2, 1, 2),
    *,
    units: int | None = None,
    output_depth: int | None = None,
    bits: tuple[int, int] = (16, 16),
) -> Case:
    """``sizes`` are X, H, banks, k_ih, k_hh; ``array`` is M, N; ``bits`` of values, activations."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, *sizes, *bits)
    design = design_for(model, *array, units)
    if output_depth is not None:
        design = replace(design, output_depth=output_depth)
    return Case(
        model, compile_model(model, design), random_frames(rng, model, [int(n) for n in lengths])
    )


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    """See :func:`build_case`."""
    return build_case


def build_network(
    seed: int,
    array: tuple[int, int],
    lengths: Sequence[int] = (2, 1, 2),
    *,
    options: dict[str, Any] | None = None,
    **network: Any,
) -> Case:
    """``options`` of the design, ``network`` for :func:`random_network`."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 9, "banks": 4, "k": (2, 2, 2)}
    model = random_network(rng, **(sizes | network))
    given = options or {}
    design = design_for(model, *array, **given)
    image = compile_model(model, design, head=bool(given.get("head")))
    return Case(model, image, random_frames(rng, model, [int(n) for n in lengths]))


@pytest.fixture(scope="session")
def make_network() -> MakeCase:
    """See :func:`build_network`."""
    return build_network


def draw_case_network(seed: int, *, by_gate: bool = False) -> Case:
    """A network and an array from a seed; drawn again until the array can carry it.

    With ``by_gate`` k is drawn for each gate, and every third is a GRU.
    """
    rng = np.random.default_rng([5 if by_gate else 4, seed])
    cell = "gru" if by_gate and seed % 3 == 2 else "lstm"
    gates = len(cell_named(cell).gate_names)
    while True:
        lanes = int(rng.choice([1, 2, 4, 8]))
        banks, x, h = lanes * int(rng.choice([1, 2])), *(int(n) for n in rng.integers(9, 24, 2))
        projection = int(rng.choice([0, 0, 9, 12]))
        directions = int(rng.choice([1, 1, 2]))
        head = directions == 1 and rng.random() < 0.3
        options = {"contexts": int(rng.choice([1, 1, 2, 3])), "fan_in": int(rng.choice([2, 4]))}
        if by_gate:
            projection *= cell == "lstm"
            options["deep"] = bool(rng.integers(2))
        network = {
            "cell": cell,
            "input_size": x,
            "hidden_size": h,
            "banks": banks,
            "k": (
                (*map(tuple, rng.integers(0, 5, (2, gates)).tolist()), int(rng.integers(4)))
                if by_gate
                else tuple(int(k) for k in rng.integers(0, 4, 3))
            ),
            "layers": int(rng.integers(1, 4)),
            "directions": directions,
            "projection": projection,
            "value_bits": int(rng.choice([4, 8, 12, 16])),
            "act_bits": int(rng.choice([8, 16])),
            "head": 5 if head else None,
            "reach": (16, 16, 8, 64)[seed % 4],
        }
        lengths = [int(rng.integers(1, 4)), *(int(n) for n in rng.integers(0, 3, 3))]
        array = (int(rng.choice([4, 8, 12, 16])), lanes)
        if banks > min(x, h, projection or h):
            continue
        if head:
            options["head"] = True
        try:
            case = build_network(seed, array, lengths, options=options, **network)
        except DesignError:  # these vectors or lanes do not fit together
            continue
        if case.image.design.by_gate == by_gate:
            return case


@pytest.fixture(scope="session")
def random_case() -> Callable[..., Case]:
    """See :func:`draw_case_network`."""
    return draw_case_network


# 4 x 4 multipliers; 9 units in 4 banks: one place of a bank stays empty
SIZES, ARRAY = (10, 9, 4, 2, 2), (4, 4)


@pytest.fixture(scope="session")
def case() -> Case:
    """What the shared hardware starts with."""
    return build_case(1, SIZES, ARRAY, (3, 1, 4))


@pytest.fixture(scope="session")
def other_case(case: Case) -> Case:
    """Another model for the same hardware."""
    other = build_case(2, SIZES, ARRAY, (2, 3))
    assert other.image.design == case.image.design
    return other

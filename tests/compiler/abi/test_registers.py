"""The declaration of the registers, and what derives from it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.abi.register_text import c_header, main, markdown
from compiler.abi.registers import (
    COUNTERS,
    MAGIC,
    PACKET,
    REGISTERS,
    Access,
    BitField,
    RegisterError,
    Word,
    design_hash,
)
from compiler.array.design import Design

ROOT = Path(__file__).resolve().parents[3]


def test_addresses_are_distinct_words_of_one_page() -> None:
    addresses = [register.address for register in REGISTERS.values()]
    assert addresses == sorted(set(addresses))
    assert all(address % 4 == 0 and address < 4096 for address in addresses)
    assert all(name == register.name for name, register in REGISTERS.items())


def test_what_a_driver_relies_on() -> None:
    """Addresses of version 1: changing one needs a new major version."""
    known = {"magic": 0, "version": 4, "control": 0x40, "start": 0x44, "load": 0x48}
    known |= {"frame": 0x4C, "timeout": 0x50, "status": 0x54, "errors": 0x58, "cycles": 0x100}
    assert {name: REGISTERS[name].address for name in known} == known
    assert MAGIC.to_bytes(4, "big") == b"SPFL"


def test_counters_are_pairs() -> None:
    for name in COUNTERS:
        low, high = REGISTERS[name], REGISTERS[f"{name}_high"]
        assert high.address == low.address + 4
        assert low.access is high.access is Access.READ


def test_fields_round_trip() -> None:
    values = {"context": 0x1234, "first": 1, "closes": 0, "magic": 0xF5}
    assert PACKET.encode(**values) == 0xF5011234
    assert PACKET.decode(0xF5011234) == values
    assert REGISTERS["timeout"].reset == 1 << 24


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"nonsense": 1}, r"packet has no field 'nonsense': it has context, first, closes, magic"),
        ({"first": 2}, r"packet\.first = 2: must be 0 to 1"),
        ({"context": -1}, r"packet\.context = -1: must be 0 to 65535"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, int], match: str) -> None:
    with pytest.raises(RegisterError, match=match):
        PACKET.encode(**fields)


def test_fields_must_not_overlap() -> None:
    with pytest.raises(RegisterError, match=r"w\.b: bits overlap or exceed 32"):
        Word("w", "", (BitField("a", 0, 8, ""), BitField("b", 7, 1, "")))
    with pytest.raises(RegisterError, match=r"w\.a: bits overlap or exceed 32"):
        Word("w", "", (BitField("a", 30, 3, ""),))


def test_the_page_is_up_to_date() -> None:
    """If not: ``python -m compiler.abi.register_text markdown > docs/registers.md``."""
    assert (ROOT / "docs" / "registers.md").read_text() == markdown()


def test_the_page_has_every_register() -> None:
    text = markdown()
    for register in REGISTERS.values():
        assert f"| 0x{register.address:03X} | `{register.name}` |" in text


def test_the_header_has_every_field() -> None:
    macros = dict(re.findall(r"#define SPARSEFLOW_(\w+) (0x[0-9A-F]+)u", c_header()))
    for register in REGISTERS.values():
        name = register.name.upper()
        assert int(macros[f"{name}_ADDRESS"], 16) == register.address
        for field in register.fields:
            upper = field.name.upper()
            assert int(macros[f"{name}_{upper}_MASK"], 16) == field.mask
            assert int(macros[f"{name}_{upper}_SHIFT"], 16) == field.offset


def test_a_compiler_takes_the_header(tmp_path: Path) -> None:
    (tmp_path / "sparseflow_registers.h").write_text(c_header())
    source = tmp_path / "driver.cpp"
    source.write_text(
        '#include "sparseflow_registers.h"\n#include "sparseflow_registers.h"\n'
        f'static_assert(SPARSEFLOW_MAGIC_VALUE == {MAGIC}u, "");\n'
        'static_assert(SPARSEFLOW_STATUS_BUSY_MASK == 4u, "");\n'
    )
    subprocess.run(["g++", "-Wall", "-Werror", "-fsyntax-only", source], check=True)


def test_main_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["header"])
    assert capsys.readouterr().out == c_header()


def test_the_hash_tells_designs_apart() -> None:
    design = Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, program_depth=8)
    assert design_hash(design) == design_hash(replace(design))
    assert design_hash(design) != design_hash(replace(design, output_depth=17))

"""A second implementation of docs/spec_wire.md: words and bytes for the wires.

Written from the page alone; a design is a dict of its parameters, numbers are Python's.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

Design = dict[str, Any]
SPACES = {"matrix": 1, "bias": 2, "program": 3, "start": 4, "linear": 5, "vector": 6, "cell": 7}
SPACES |= {"index": 15}


def bits(count: int) -> int:
    """Bits that number ``count`` things, at least one."""
    return max(1, (count - 1).bit_length())


def join(numbers: Sequence[int], widths: Sequence[int]) -> int:
    """Numbers side by side, the first lowest, each cut to its width."""
    word = place = 0
    for number, width in zip(numbers, widths, strict=True):
        word |= (int(number) & ((1 << width) - 1)) << place
        place += width
    return word


def cut(word: int, width: int, parts: int) -> list[int]:
    """A word of so many bits in equal parts, the lowest first."""
    size = -(-width // parts)
    return [word >> size * n & ((1 << size) - 1) for n in range(parts)]


def header(space: str, target: int = 0, address: int = 0) -> int:
    return SPACES[space] << 28 | target << 16 | address


def load_packet(
    space: str, target: int, address: int, words: Sequence[int], width: int
) -> list[int]:
    """Header, count, and every memory word in as many bus words as it needs."""
    chunks = -(-width // 32)
    data = [word >> 32 * n & 0xFFFFFFFF for word in words for n in range(chunks)]
    return [header(space, target, address), len(words), *data]


def even(word: int, width: int) -> int:
    """A word with the bit above it of a checked design."""
    return word | word.bit_count() % 2 << width


def walk_words(spaces: Sequence[Sequence[Sequence[int]]], widths: Sequence[int]) -> list[int]:
    """What a walk is told: of programs, biases, linear and matrices each memory's words."""
    last = len(spaces[-1][0]) - 1
    data = last.to_bytes(4, "little")
    for memories, width in zip(spaces, widths, strict=True):
        for words in zip(*memories, strict=True):
            for word in words:
                data += word.to_bytes(-(-width // 32) * 4, "little")
    return [last, zlib.crc32(data)]


def sealed(packet: Sequence[int]) -> list[int]:
    """A packet of a checked design."""
    check = 0
    for word in packet:
        check ^= word
    return [*packet, check]


def accumulator(d: Design) -> int:
    if d["forward"]:
        return int(d["forward"])
    terms = d["row_groups"] * d["lanes"]
    weight = max(d["value_bits"], d["row_bits"] + d["row_shift"])
    return int(weight + d["act_bits"] + (terms - 1).bit_length() + d["max_align"])


def fields(d: Design) -> list[tuple[str, int, int]]:
    """Name, width and number of elements of every field of an instruction, lowest first."""
    vector, program = bits(d["vector_depth"]), bits(d["program_depth"])
    units, more = d["slot_units"] or d["pes"] // (4 * d["units"]), min(d["contexts"], 8) - 2
    streams = d["contexts"] if d["batched"] else 1
    results = d["slot_results"] or (d["pes"] // d["projectors"] if d["projectors"] else 0)
    per_slot = max(units, results)
    rows = d["row_groups"] * d["pieces"]
    least = rows
    if d["compact"]:
        least = 16 if rows <= 16 else max(rows, 24)
    beats = bits(max(d["cells"], d["slots"] * per_slot) + 1)
    longest = rows - 1 + max(1, per_slot) if d["batched"] else max(least, per_slot)
    lead = bits((2 << beats) * streams + 64)
    return [
        *[("op", 2, 1), ("next", program, 1), ("other", program, 1), ("frame", 2, 1)],
        *[("release_frame", 1, 1), ("advance", 1, 1), ("recurrent", 1, 1), ("parked", 1, 1)],
        *[("sink", 2, 1), ("write", 1, 1)],
        *([("rectify", 1, 1)] if d["rectified"] else []),
        *[("emit", 1, 1), ("final", 1, 1)],
        *[("slot", bits(d["slots"]), 1), ("slots", bits(d["slots"] + 1), 1)],
        *[("groups", bits(rows + 1), 1), ("interval", bits(longest + 1), 1)],
        ("matrix", bits(d["matrix_depth"] * d["pieces"]), 1),
        *[("source", vector, 1), ("source_kind", 2, 1), ("source_span", bits(vector + 1), 1)],
        *[("target", vector, 1), ("target_kind", 2, 1), ("target_span", bits(vector + 1), 1)],
        *([("reach", bits(len(d["wider"]) + 1), 1)] if d["wider"] else []),
        *[("align", max(1, d["max_align"].bit_length()), 4), ("shift", 6, 4)],
        *[("beats", beats, 1), ("bias", bits(max(d["cells"], d["linear"])), 1)],
        *[("lead", lead, 1), ("lead_other", lead, 1)],
        *([("lead_more", lead, more)] if more > 0 and streams == 1 else []),
        *[("frame_beats", bits(d["vector_depth"] + 1), 1), ("frame_bases", vector, 2)],
    ]


def instruction(values: dict[str, Any], d: Design) -> int:
    """The word of an instruction."""
    numbers: list[int] = []
    widths: list[int] = []
    for name, width, count in fields(d):
        value = values[name]
        numbers += value if isinstance(value, tuple | list) else [value]
        widths += [width] * count
    return join(numbers, widths)


def program(instructions: Sequence[dict[str, Any]], d: Design) -> list[int]:
    """Words of the whole program memory; what is not used halts, with all bits 0."""
    size = sum(width * count for _, width, count in fields(d))
    parts = 8 if d["compact"] else 1
    words = [instruction(values, d) for values in instructions]
    words += [0] * (d["program_depth"] - len(words))
    return [part for word in words for part in cut(word, size, parts)]


def dealt(size: int, width: int, lanes: int, places: int) -> list[int]:
    """Element at each place of the processing order; -1 is padding."""
    found = [(t % lanes) * width + t // lanes for t in range(lanes * width)]
    found += [size] * (places - len(found))
    return [element if element < size else -1 for element in found]


def working(gates: int, d: Design) -> int:
    """PEs that have rows: those of whole beats, and of fewer where the design says so."""
    beat = gates * d["units"] if gates > 1 else d["projectors"]
    beats = d["slot_units"] if gates > 1 else d["slot_results"]
    return int((beats or d["pes"] // beat) * beat)


def matrix_words(
    entries: Sequence[Sequence[Sequence[tuple[int, int]]]],
    gates: int,
    bank_width: int,
    d: Design,
) -> list[list[int]]:
    """Words of every PE for one pass: ``entries[row][group][lane]`` is value and index."""
    size, pes, widths = len(entries) // gates, d["pes"], [d["value_bits"], d["index_bits"]]
    busy, only = working(gates, d), d.get("only")  # of a design with indices apart: 0 or 1
    taken = slice(None) if only is None else slice(only, only + 1)
    slots = -(-gates * d["lanes"] * bank_width // busy)
    order = dealt(size, bank_width, d["lanes"], slots * busy // gates)
    words: list[list[int]] = [[] for _ in range(pes)]
    for slot in range(slots):
        for pe in range(pes):
            element = order[(slot * busy + pe) // gates] if pe < busy else -1
            gate = pe % gates
            for group in range(len(entries[0])):
                row = entries[element + gate * size][group] if element >= 0 else None
                pairs = row or [(0, 0)] * d["lanes"]
                word = join(
                    [n for pair in pairs for n in list(pair)[taken]], widths[taken] * d["lanes"]
                )
                words[pe] += cut(word, sum(widths[taken]) * d["lanes"], d["pieces"])
    return words


def packed_words(groups: Sequence[Sequence[int]], d: Design) -> list[int]:
    """Words of one PE for a linear layer in a stream: ``groups[k][lane]`` is a value."""
    value, index = d["value_bits"], d["index_bits"]
    c = -(-value // index)
    words: list[int] = []
    for at in range(0, len(groups), c + 1):
        own, behind = groups[at : at + c], groups[at + c : at + c + 1] or [[0] * d["lanes"]]
        for n, values in enumerate(own):
            cut_off = [(v & (1 << value) - 1) >> n * index & (1 << index) - 1 for v in behind[0]]
            pairs = zip(values, cut_off, strict=True)
            words.append(join([x for pair in pairs for x in pair], [value, index] * d["lanes"]))
    return words


def row_words(groups: Sequence[Sequence[int]], d: Design) -> list[int]:
    """Words of one PE for a linear layer of few bits; ``groups[k][lane]`` is a value."""
    entry = d["value_bits"] + d["index_bits"] * d["streamed"]
    count = entry // d["row_bits"]
    words: list[int] = []
    for at in range(0, len(groups), count):
        of_lanes = list(zip(*groups[at : at + count], strict=True))
        parts = [join(values, [d["row_bits"]] * len(values)) for values in of_lanes]
        words.append(join(parts, [entry] * d["lanes"]))
    return words


def bias_words(bias: Sequence[int], bank_width: int, d: Design) -> list[list[int]]:
    """Words of every lane for the units of one layer: gates i, f, g, o of a unit, i lowest."""
    size, units, state = len(bias) // 4, d["units"], d["act_bits"] + 2
    beats = -(-d["lanes"] * bank_width // units)
    busy = working(4, d)
    slots = -(-4 * d["lanes"] * bank_width // busy)
    order = dealt(size, bank_width, d["lanes"], slots * busy // 4)
    words: list[list[int]] = [[] for _ in range(units)]
    for place, element in enumerate(order[: beats * units]):
        four = [bias[gate * size + element] if element >= 0 else 0 for gate in range(4)]
        word = join(four, [state] * 4)
        words[place % units] += cut(word, 4 * state, 4 if d["compact"] else 1)
    return words


def linear_words(bias: Sequence[int], bank_width: int, d: Design) -> list[list[int]]:
    """Words of every projector for a linear layer: one bias each."""
    lanes, beats = d["projectors"], -(-d["lanes"] * bank_width // d["projectors"])
    slots = -(-d["lanes"] * bank_width // d["pes"])
    order = dealt(len(bias), bank_width, d["lanes"], slots * d["pes"])
    mask = (1 << accumulator(d)) - 1
    dealt_out = [int(bias[e]) & mask if e >= 0 else 0 for e in order[: beats * lanes]]
    return [dealt_out[lane::lanes] for lane in range(lanes)]


def state_beats(
    h: Sequence[int], c: Sequence[int], bank_width: int, d: Design, context: int = 0
) -> list[list[int]]:
    """Words of every beat in which the states of one layer leave."""
    whose = [container(bits(d["contexts"]))] if d["batched"] else []
    units, act = d["units"], d["act_bits"]
    projected = container(accumulator(d) if d["linear"] else act) * d["projectors"]
    widths = [container(act)] * units + [container(act + 2)] * units
    longest = sum(whose) + max(sum(widths), projected)
    order = dealt(len(h), bank_width, d["lanes"], d["lanes"] * bank_width)
    beats = []
    for at in range(0, len(order), units):
        mine = [e for e in order[at : at + units]]
        numbers = [x[e] if e >= 0 else 0 for x in (h, c) for e in mine]
        word = join([context] * len(whose) + numbers, whose + widths)
        beats.append([word >> 32 * n & 0xFFFFFFFF for n in range(-(-longest // 32))])
    return beats


def container(width: int) -> int:
    """Bits in which a number travels."""
    return next((c for c in (8, 16, 32, 64) if c >= width), width)


def beat_words(numbers: Sequence[int], width: int, bus: int = 32) -> list[int]:
    """A beat of the core in beats of a bus: signed numbers in containers, the first lowest."""
    size = container(width)
    word = join(numbers, [size] * len(numbers))
    return [word >> bus * n & ((1 << bus) - 1) for n in range(-(-size * len(numbers) // bus))]


def frame_packet(
    frames: Sequence[Sequence[int]], first: int, context: int, d: Design, closes: int = 0
) -> list[int]:
    """Words of a packet: header, then the frames of one direction, element after element."""
    words = [0xF5 << 24 | closes << 17 | first << 16 | context]
    for frame in frames:
        width = -(-len(frame) // d["lanes"])
        padded = list(frame) + [0] * (d["lanes"] * width - len(frame))
        ports = max(1, d["units"] // d["lanes"])
        for first_place in range(0, width, ports):
            beat: list[int] = []
            for place in range(first_place, first_place + ports):
                there = place < width
                beat += [padded[b * width + place] if there else 0 for b in range(d["lanes"])]
            words += beat_words(beat, d["act_bits"])
    return words


def link_frame(body: bytes) -> bytes:
    """A frame of the serial link: flags, escapes, check sequence."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    whole = body + (crc ^ 0xFFFF).to_bytes(2, "little")
    out = [0x7E]
    for byte in whole:
        out += [0x7D, byte ^ 0x20] if byte in (0x7D, 0x7E) else [byte]
    return bytes([*out, 0x7E])


def link_request(
    sequence: int, command: int, count: int, argument: int, words: Sequence[int] = ()
) -> bytes:
    """A request on the link."""
    head = bytes([sequence, command, count & 255, count >> 8, argument & 255, argument >> 8])
    return link_frame(head + b"".join(word.to_bytes(4, "little") for word in words))

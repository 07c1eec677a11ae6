"""Broken files that are whole on the outside: changed inside, with checksums made anew."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

from boards.link.protocol import Damaged, FrameFinder, enframe
from sim.regress.fuzz import mutated

__all__ = ["Mutate", "in_frames", "in_json", "in_safetensors", "in_text", "in_zip", "sealed_again"]

Mutate = Callable[[bytes, random.Random], bytes]
NUMBERS = (0, 1, -1, 2, 65536, 2**31 - 1, 2**32, 10**9, 2**40, 2**63, 2**64, 10**30, 0.5, 1e308,
           float("nan"), float("inf"))  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, "", "x", [], {}, [[]], "\x1b[31m", "a" * 500)
_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?![\w.])")


def in_json(content: bytes, rng: random.Random) -> bytes:
    """One or two values of a JSON text changed, left out or repeated; else bytes."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return mutated(content, rng)
    for _ in range(rng.randint(1, 2)):
        _change(value, rng)
    return _loose(value).encode()


def _loose(value: Any) -> str:
    """JSON with NaN and infinity in it, which parsers must refuse."""
    return json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode(value)


def _change(value: Any, rng: random.Random) -> None:
    places = list(_places(value))
    if not places:
        return
    node, key = rng.choice(places)
    if rng.random() < 0.1:
        del node[key]
    else:
        node[key] = copy.deepcopy(rng.choice(NUMBERS if rng.random() < 0.7 else OTHERS))


def _places(value: Any) -> Any:
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, dict | list) else ():
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def in_text(content: bytes, rng: random.Random) -> bytes:
    """One number of a text (TOML) exchanged for another; else bytes."""
    found = list(_NUMBER.finditer(content))
    if not found or rng.random() < 0.3:
        return mutated(content, rng)
    match = rng.choice(found)
    return content[: match.start()] + str(rng.choice(NUMBERS)).encode() + content[match.end() :]


def in_safetensors(content: bytes, rng: random.Random) -> bytes:
    """The header of the container, or the bytes behind it, changed; lengths are right again."""
    length = int.from_bytes(content[:8], "little")
    head, body = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.7:
        head = in_json(head, rng)
    else:
        body = mutated(body, rng)
    return len(head).to_bytes(8, "little") + head + body


def sealed_again(content: bytes, rng: random.Random) -> bytes:
    """A file of ours with a changed header or changed tensors, under a right checksum."""
    length = int.from_bytes(content[:8], "little")
    head, body = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    ours = json.loads(head["__metadata__"]["sparseflow"])
    if rng.random() < 0.7:
        _change(ours, rng)
    if rng.random() < 0.3 and body:
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    ours = {key: value for key, value in ours.items() if key != "sha256"}
    text = _loose(ours | {"sha256": "0" * 64})
    head["__metadata__"]["sparseflow"] = text
    plain = _loose(head).encode()
    data = len(plain).to_bytes(8, "little") + plain + bytes(body)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data.replace(b"0" * 64, digest, 1)


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """One member of an archive changed, its check sum right again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            if name == chosen:
                data = in_text(data, rng) if name.endswith(".npy") else mutated(data, rng)
            new.writestr(name, data)
    return out.getvalue()


def in_frames(content: bytes, rng: random.Random) -> bytes:
    """Frames of the link with changed bodies and right check sequences."""
    found = [body for body in FrameFinder().feed(content) if not isinstance(body, Damaged)]
    chosen = rng.randrange(len(found))
    found[chosen] = mutated(found[chosen], rng)
    return b"".join(map(enframe, found))

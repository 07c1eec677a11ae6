"""Blocks of code of the pages, and a shell that runs them as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "blocks", "one", "program", "reader_shell"]

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=ticks)[ ]*$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: what language it is in, what mark follows that, and where it stands."""

    language: str
    mark: str
    text: str
    heading: str


def blocks(page: str, language: str | None = None) -> list[Block]:
    """All of a page, from the repository's root, or those of one language."""
    text = (ROOT / page).read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = FENCE.sub("", text[: match.start()])
        headings = re.findall(r"^#+ (.*)$", before, re.M)
        first, _, mark = match["info"].strip().partition(" ")
        found.append(Block(first, mark, match["text"], headings[-1] if headings else ""))
    return [block for block in found if language in (None, block.language)]


def one(page: str, language: str, heading: str | None = None) -> str:
    """The only block of a language, in a page or below one of its headings."""
    chosen = [b for b in blocks(page, language) if heading in (None, b.heading)]
    assert len(chosen) == 1, f"{page} has {len(chosen)} blocks of {language} below {heading}"
    return chosen[0].text


def program(page: str) -> str:
    """All Python of a page, one block after the other."""
    return "\n".join(block.text for block in blocks(page, "python"))


def reader_shell(
    script: str, folder: Path, tools: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a block of a page in a folder, with what is installed here, and with stand-ins first."""
    first = [str(tools)] if tools else []
    path = [*first, str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(path)} | more
    return subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=env, capture_output=True, text=True, check=False
    )

"""Commands, run in this process: Python and its libraries are loaded once for all of them."""

from __future__ import annotations

import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cpu.one_core import POOLS

ROOT = Path(__file__).resolve().parents[2]
GUARD = 'if __name__ == "__main__":'
ELSEWHERE = {"build", "tests"}
RunModule = Callable[..., object]


@pytest.fixture(scope="session")
def runnable() -> list[str]:
    """Modules of this repository that ``python -m`` can run."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0].startswith(".") or parts[0] in ELSEWHERE:
            continue
        if path.name == "__main__.py":
            found.append(".".join(parts[:-1]))
        elif GUARD in path.read_text(encoding="utf-8"):
            found.append(".".join(parts))
    return found


@pytest.fixture(scope="session")
def run_module() -> RunModule:
    """Exit status of ``python -m MODULE WORDS``, or the message that it ends with."""

    def run(module: str, *words: str) -> object:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr(sys, "argv", [module, *words])
            for pool in POOLS:  # or benches for one thread would start this process again
                patch.setenv(pool, "1")
            warnings.simplefilter("ignore", RuntimeWarning)  # it is imported already
            try:
                patch.setattr(sys, "path", ["", *sys.path])  # an entry may take the first away
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as stopped:
                return stopped.code or 0
        return 0

    return run

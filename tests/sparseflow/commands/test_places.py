"""No command replaces, deletes or mixes up what it has not written itself."""

from __future__ import annotations

import gc
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.limits import small_files

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain, Finished

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
SUITE = """[[cases]]
name = "c"
kind = "command"
command = ["{python}", "-c", "import json,sys; json.dump({'a':1}, open(sys.argv[1],'w'))", "{out}"]
"""


def everything(folder: Path) -> dict[str, bytes | str]:
    """All that is in a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() and not path.is_symlink() else path.as_posix()
        )
        for path in sorted(folder.rglob("*"))
    }


def put(folder: Path, *names: str) -> dict[str, bytes | str]:
    """Files of the user's own."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"my {name}")
    return everything(folder)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_verilog_keeps_the_users_own(run: Run, chain: Chain, at: Path, capsys: Text) -> None:
    before = put(at / "rtl", "calib.hex", "my_top.v")
    assert run("verilog", chain.model, "--out", "rtl", "--pes", 4, "--lanes", 4) == 2
    assert "error: rtl would be replaced as a whole but holds calib.hex" in capsys.readouterr().err
    assert everything(at / "rtl") == before


def test_nothing_is_added_to_a_folder_of_verilog(
    run: Run, chain: Chain, at: Path, capsys: Text
) -> None:
    emit = ("verilog", chain.model, "--out", "rtl", "--pes", 4, "--lanes", 4)
    assert run(*emit) == 0
    before = everything(at / "rtl")
    assert run("report", "rtl", "--out", "rtl") == 2
    told = "error: rtl is of another command (verilog), which replaces it as a whole: give another"
    assert told in capsys.readouterr().err
    assert run("simulate", chain.model, "--data", chain.data, "--build", "rtl") == 2
    assert told in capsys.readouterr().err
    assert everything(at / "rtl") == before
    assert run(*emit) == 0


def test_a_build_keeps_the_users_own(run: Run, chain: Chain, at: Path, capsys: Text) -> None:
    before = put(at / "out", "summary.md", "thesis.tex")  # not even beside a summary
    assert run("build", chain.model, "--board", "arty_a7", "--out", "out") == 2
    assert "holds summary.md: give a new or an empty folder" in capsys.readouterr().err
    assert everything(at / "out") == before


def test_a_regression_keeps_the_users_own(run: Run, at: Path, capsys: Text) -> None:
    (at / "suite.toml").write_text(SUITE)
    before = put(at, "cases/a", "finished/b", "lines/c")
    assert run("regress", "suite.toml", "--out", ".", "--cache", "cache") == 2
    assert "holds cases/a, which would be replaced" in capsys.readouterr().err
    assert everything(at) == before


@pytest.mark.parametrize(
    "name", ["results.json", "report.html", "replay/x", "builds/x", "run.json"]
)
def test_a_regression_keeps_every_name(run: Run, at: Path, name: str) -> None:
    (at / "suite.toml").write_text(SUITE)
    before = put(at, name)
    assert run("regress", "suite.toml", "--out", ".", "--cache", "cache") == 2
    assert everything(at) == before


def test_a_regressions_cache_keeps_the_users_own(run: Run, at: Path, capsys: Text) -> None:
    (at / "suite.toml").write_text(SUITE)
    before = put(at, "builds/thesis.pdf")
    assert run("regress", "suite.toml", "--out", "out", "--cache", ".") == 2
    assert "holds builds/thesis.pdf" in capsys.readouterr().err
    assert everything(at) == before


def test_a_regression_goes_where_its_own_results_are(run: Run, at: Path, capsys: Text) -> None:
    (at / "suite.toml").write_text(SUITE)
    put(at, "notes.txt")
    given = ("regress", "suite.toml", "--out", ".", "--cache", "cache")
    assert run(*given, "--accept") == 0
    assert run(*given) == 0
    put(at, "finished/mine.json")
    assert run(*given) == 2
    assert "holds finished/mine.json" in capsys.readouterr().err
    assert (at / "notes.txt").exists()


def test_one_regression_at_a_time_where_results_go(run: Run, at: Path, capsys: Text) -> None:
    from csb_format.files.folders import locked, shared_folder
    from sparseflow.commands.regress_command import LOCK

    (at / "suite.toml").write_text(SUITE)
    with shared_folder(at / "out", [LOCK]), locked(at / "out" / LOCK):
        assert run("regress", "suite.toml", "--out", "out", "--cache", "cache") == 2
    assert "another run is at work in out: wait for its end" in capsys.readouterr().err
    assert run("regress", "suite.toml", "--out", "out", "--cache", "cache") == 0


def test_a_simulation_keeps_the_users_own(run: Run, chain: Chain, at: Path, capsys: Text) -> None:
    before = put(at, "build/main.o", "notes")
    given = ("simulate", chain.model, "--data", chain.data, "--simulator", "icarus")
    assert run(*given, "--build", ".", "--pes", 4, "--lanes", 4) == 2
    assert "holds build/main.o" in capsys.readouterr().err
    assert everything(at) == before


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_a_report_keeps_the_users_own(
    run: Run, finished: Finished, at: Path, capsys: Text, name: str
) -> None:
    before = put(at / "pages", name, "index.html")
    assert run("report", finished.folder / "b", "--out", "pages") == 2
    assert f"pages holds {name}, which would be replaced" in capsys.readouterr().err
    assert everything(at / "pages") == before
    (at / "pages" / name).unlink()
    assert run("report", finished.folder / "b", "--out", "pages") == 0
    assert run("report", finished.folder / "b", "--out", "pages") == 0


def test_the_speech_keeps_the_users_own(run: Run, at: Path, capsys: Text) -> None:
    before = put(at, "train.npz")
    assert run("data", "japanese-vowels", "--out", ".") == 2
    assert run("demo", "--out", ".") == 2
    assert capsys.readouterr().err.count("holds train.npz, which would be replaced") == 2
    assert everything(at) == before


def test_an_input_is_not_replaced(run: Run, chain: Chain, at: Path, capsys: Text) -> None:
    net, packed = at / "net.pt", at / "p.safetensors"
    net.write_bytes(chain.dense.read_bytes())
    packed.write_bytes(chain.pruned.read_bytes())
    before = everything(at)
    assert run("prune", net, "--data", chain.data, "--out", net, "--banks", 4) == 2
    assert run("pack", packed, "--calibration", chain.data, "--out", packed) == 2
    assert run("doctor", net, "--plain", "net.pt") == 2
    assert capsys.readouterr().err.count("is read by the same command: name another file") == 3
    assert everything(at) == before


FILES: dict[str, tuple[object, ...]] = {
    "pack": ("pack", "pruned", "--calibration", "data", "--out"),
    "matrices": ("pack", "pruned", "--matrices", "--out"),
    "prune": ("prune", "dense", "--data", "data", "--banks", 4, "--out"),
    "json": ("doctor", "dense", "--json"),
    "svg": ("doctor", "dense", "--svg"),
    "synth": ("synth", "--json"),
    "timing": ("timing", "--json"),
    "history": ("regress", "suite.toml", "--out", "o", "--cache", "c", "--history"),
}
FOLDERS: dict[str, tuple[object, ...]] = {
    "verilog": ("verilog", "model", "--pes", 4, "--lanes", 4, "--out"),
    "build": ("build", "model", "--board", "arty_a7", "--out"),
    "simulate": ("simulate", "model", "--data", "data", "--simulator", "icarus", "--build"),
    "report": ("report", "run", "--out"),
    "data": ("data", "japanese-vowels", "--out"),
    "demo": ("demo", "--out"),
    "regress": ("regress", "suite.toml", "--cache", "c", "--out"),
    "cache": ("regress", "suite.toml", "--out", "o", "--cache"),
}


@pytest.mark.parametrize("what", ["link", "FIFO", "device"])
@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_no_command_replaces_what_is_no_file_or_folder(
    run: Run, chain: Chain, finished: Finished, at: Path, capsys: Text, name: str, what: str
) -> None:
    (at / "suite.toml").write_text(SUITE)
    (at / "elsewhere").mkdir()
    place = at / "out"
    if what == "device":
        place = Path("/dev/null")
    elif what == "FIFO":
        os.mkfifo(place)
    else:
        place.symlink_to(at / "elsewhere")
    files = {word: getattr(chain, word) for word in ("data", "dense", "pruned", "model")}
    files["run"] = finished.folder / "b"
    words = FILES.get(name) or FOLDERS[name]
    mark = place.lstat()
    given = [words[0], *(files.get(str(w), w) for w in words[1:])]
    assert run(*given, place) == 2
    error = capsys.readouterr().err
    assert f"error: {place} is a {what}" in error
    assert len(error.strip().splitlines()) == 1
    assert (place.lstat().st_ino, place.lstat().st_mode) == (mark.st_ino, mark.st_mode)
    assert not list((at / "elsewhere").iterdir())


def test_a_yosys_without_room_is_one_line(
    run: Run,
    chain: Chain,
    at: Path,
    capsys: Text,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Neither WebAssembly's traceback, nor what Amaranth says of hardware left unfinished."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    with small_files(64):
        assert run("verilog", chain.model, "--out", "rtl", "--pes", 4, "--lanes", 4) == 2
    gc.collect()
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: Yosys, .* last words: .*File too large.* \(ulimit -a\)\n", said)
    assert not [w for w in recwarn if "never used" in str(w.message)]
    assert not (at / "rtl").exists()


def test_an_edited_file_is_kept(
    run: Run, chain: Chain, finished: Finished, at: Path, capsys: Text
) -> None:
    """Verilog, a simulation's Verilog and a page, with a change of the user's."""
    for name in ("v", "b", "report"):
        shutil.copytree(finished.folder / name, at / name)
    for path in ("v/sparseflow.v", "b/verilog/sparseflow.v", "report/report.html"):
        with (at / path).open("a") as file:
            file.write("// mine")
    before = everything(at)
    array = ("--pes", 4, "--lanes", 4)
    data = ("--data", chain.data, "--simulator", "icarus")
    assert run("verilog", chain.model, "--out", "v", *array) == 2
    assert run("simulate", chain.model, *data, "--build", "b", *array) == 2
    assert run("report", finished.folder / "b", "--out", "report") == 2
    said = capsys.readouterr().err
    for name in ("sparseflow.v", "verilog/sparseflow.v", "report.html"):
        assert f" holds {name}, changed since it was written (move it away to keep it)" in said
    assert everything(at) == before
    (at / "report" / "report.html").rename(at / "mine.html")
    assert run("report", finished.folder / "b", "--out", "report") == 0


def test_a_regression_goes_on_whatever_its_logs_are(run: Run, at: Path, capsys: Text) -> None:
    (at / "suite.toml").write_text(SUITE)
    given = ("regress", "suite.toml", "--out", "out", "--cache", "cache")
    assert run(*given, "--accept") == 0
    for path in (at / "out" / "cases").rglob("*"):
        if path.is_file():
            path.write_text("cut")
    (at / "out" / "history.jsonl").write_text("")
    assert run(*given) == 0
    (at / "out" / "summary.md").write_text("my notes")
    capsys.readouterr()
    assert run(*given) == 2
    assert "out holds summary.md, changed since" in capsys.readouterr().err

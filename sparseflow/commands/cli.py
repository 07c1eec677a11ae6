"""The command line: every step on its own, and ``demo`` for all of them in a row."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from contextlib import suppress
from itertools import pairwise
from typing import Annotated

import typer

from csb_format.extras import install
from csb_format.files.foreign import MisreadError
from sparseflow_rooms import ShadowedError, check

from .. import __version__
from ..pages.made.typed import as_typed
from ..steps.options import (
    PLAIN,
    DemoOptions,
    ReportOptions,
    SimulateOptions,
    Simulator,
    TopName,
    VerilogOptions,
)
from .board_commands import boards, build, fit, ip
from .cpu_commands import adapt, cpu_app, serve
from .data_commands import data_app
from .derived import derived
from .doctor_command import doctor
from .hints import hint
from .job_command import c_header, job
from .load_command import load
from .prepare_commands import cut, pack, prune
from .regress_command import regress
from .synth_command import synth, timing
from .tuning.predict import predict_app
from .tuning.study import study
from .tuning.tune import tune

__all__ = ["app", "main"]

# Commands import `pipeline` when they run: it loads the simulators' and the generator's
# libraries, and --help must not wait for them.

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
    From a trained PyTorch LSTM to Verilog that is bit-exact in simulation.

    The steps, each reading what the one before has written:

    **prune** a checkpoint, **pack** it as integers, emit **verilog**, **simulate** it,
    **report** the figures. **demo** does all of them on real speech; **data** writes that
    speech for the single steps.

    Sequences are `.npz` files: `frames` (all frames, X) float, `lengths` (sequences,) int,
    `labels` int, classes from 0: (sequences,), or (all frames,) with -1 where none counts.
    """,
)
app.add_typer(data_app, name="data", help="Write data files: from your files, or from a package.")
app.add_typer(
    predict_app,
    name="predict",
    help="What an array will take and reach: `predict MODEL --board BOARD`.",
)
app.add_typer(cpu_app, name="cpu", help="Run, time and plan a packed model on this processor.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sparseflow {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version, stop."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback for errors. Goes before the command.")
    ] = False,
) -> None:
    # `main` reads --debug itself: it must know it even where parsing fails.
    del version, debug


for command in (prune, pack, cut):
    app.command()(command)


@app.command()
@derived(VerilogOptions)
def verilog(given: VerilogOptions) -> None:
    """Emit the accelerator for a model: Verilog and memory images.

    **In:** a packed model and the size of the array. **Out:** a folder with the Verilog and
    the images of weights, biases and program, ready for simulation and synthesis. Tops other than
    the core have a README, a FuseSoC core, C headers and IP-XACT beside them; docs/integration.md.

    **Next:** `sparseflow simulate MODEL --data DATA --build build/simulation`
    """
    from ..steps import pipeline
    from ..steps.generating.tops import top_of

    array = {
        name: getattr(given, name)
        for name in (
            *("contexts", "head", "dense", "deep", "streamed", "checked", "walk", "largest"),
            *("parts", "unguarded", "block_banks", "batched", "planes", "shallow"),
        )
    }
    pipeline.verilog(
        model=given.model,
        out=given.out,
        pes=given.pes,
        lanes=given.lanes,
        images=given.images.value,
        prefix=given.prefix,
        top=top_of(given),
        base=given.base,
        also=given.also or (),
        **array,
    )
    plain = given.top is TopName.core
    contexts, largest, planes = (array.pop(name) for name in ("contexts", "largest", "planes"))
    head, dense = array.pop("head"), array.pop("dense")
    flags = [f"--{flag.replace('_', '-')}" for flag in PLAIN if array.pop(flag)]
    if array.pop("batched"):  # which says that matrices come from memory
        flags = [flag for flag in flags if flag != "--streamed"] + ["--batched"]
    if not plain or array != {name: getattr(VerilogOptions, name) for name in array}:
        return  # `simulate` runs the bare core of a plain array
    build = given.out.with_name("simulation")
    hint(
        "simulate",
        given.model,
        "--data",
        "DATA",
        "--build",
        build,
        "--pes",
        given.pes,
        "--lanes",
        given.lanes,
        *(("--contexts", contexts) if contexts > 1 else ()),
        *(("--largest", largest) if largest is not None else ()),
        *(("--planes", planes) if planes else ()),
        *(("--head",) if head else ()),
        *(("--dense-head",) if dense else ()),
        *flags,
    )


@app.command()
@derived(SimulateOptions)
def simulate(given: SimulateOptions) -> None:
    """Run the Verilog and compare every bit of its output with the integer model.

    **In:** a packed model and sequences. **Out:** in the build folder, the mismatches (0 if
    all is well), accuracy and counted clock cycles. All sequences run on Verilator's model with
    no Python in the loop, the first also under cocotb, which must give the same in the same
    cycles. Another simulator on the same model, data and array adds itself to the results. A
    mismatch ends the command with status 1 and names
    gate, row, bank and cycle.

    **Next:** `sparseflow report BUILD --out build/report`
    """
    if (given.dense is None) != (given.pruned is None):
        raise typer.BadParameter("give both --dense and --pruned, or none of them")
    beside = {"--icarus": given.icarus, "--cocotb": given.cocotb}
    if given.simulator != Simulator.free and (told := [n for n, count in beside.items() if count]):
        raise typer.BadParameter(
            f"{told[0]} is cocotb beside {Simulator.free.value}, and here cocotb runs everything: "
            f"leave {told[0]} or --simulator out"
        )
    outside = {"--batched": given.batched, "--streamed": given.streamed, "--planes": given.planes}
    if given.activity and (reads := next((name for name, on in outside.items() if on), "")):
        raise typer.BadParameter(
            "--activity is of an array whose words lie on the chip: leave "
            f"--activity or {reads} out"
        )
    from ..steps import pipeline

    pipeline.simulate(
        model=given.model,
        data=given.data,
        build=given.build,
        simulator=given.simulator.value,
        pes=given.pes,
        lanes=given.lanes,
        icarus=given.icarus,
        cocotb=given.cocotb,
        utterances=given.utterances,
        seed=given.seed,
        dense=given.dense,
        pruned=given.pruned,
        board=given.board,
        contexts=given.contexts,
        largest=given.largest,
        head=given.head,
        dense_head=given.dense_head,
        batched=given.batched,
        planes=given.planes,
        **{flag: getattr(given, flag) for flag in PLAIN},
        activity=None if given.activity is None else given.activity.value,
    )
    hint("report", given.build, "--out", given.build / "report")


@app.command()
@derived(ReportOptions)
def report(given: ReportOptions) -> None:
    """Write the figures of a run as report.json and report.html, and print them.

    **In:** the folder that `simulate` or `demo` filled. **Out:** one file for programs, one
    page for people that needs no network.

    **Next:** open report.html in a browser.
    """
    from ..steps import pipeline

    pipeline.report(run_dir=given.run_dir, out=given.out)


@app.command()
@derived(DemoOptions)
def demo(given: DemoOptions) -> None:
    """Do all steps on real speech: nine speakers told apart by one vowel.

    **In:** nothing; the recordings come with an installed package. **Out:** the trained,
    pruned and packed model, Verilog, simulation results and report.

    **Next:** open OUT/report.html, then take your own network through the single steps.
    """
    from ..steps import pipeline

    pipeline.demo(
        out=given.out,
        seed=given.seed,
        pes=given.pes,
        lanes=given.lanes,
        icarus=given.icarus,
        cocotb=given.cocotb,
        contexts=given.contexts,
    )


INTERRUPTED = 128 + signal.SIGINT
_LONGEST = 1000
# what each command needs beside the core
EXTRAS = {
    "prune": "train",
    "pack": "train",
    "cut": "train",  # and onnx, which it names itself
    "doctor": "train",
    "data": "demo",
    "verilog": "generate",
    "ip": "generate",
    "simulate": "simulate",
    "report": "report",
    "demo": "demo",
    "regress": "regress",
    "build": "bitstream",
    "synth": "bitstream",
    "timing": "bitstream",
    "serve": "serve",
    "study": "report",  # of its page alone
    "tune": "report",
}


def _number_named(text: str) -> str:
    """With the value, which pydantic leaves out, where an option should have had a number."""
    found = re.match(r"Invalid value for '(?:-\w / )?(--[\w-]+)'.*unable to parse string", text)
    if not found:
        return text
    words, name = sys.argv[1:], found[1]
    said = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    said += [after for word, after in pairwise(words) if word == name]
    kind = "a whole number" if "integer" in text else "a number"
    return f"{name} {' '.join(said)}: must be {kind}"


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, ModuleNotFoundError):
        try:
            check((error.name or "").partition(".")[0])
        except ShadowedError as hidden:
            return str(hidden)
        words = (word for word in sys.argv[1:] if not word.startswith("-"))
        return install(error.name or str(error), EXTRAS.get(next(words, ""), ""))
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MisreadError):
        return error.text
    # Typer's errors of use tell more than their text; its class for them depends on the release.
    text = str(getattr(error, "format_message", error.__str__)())
    text = _number_named(text)
    # of pydantic, which Typer asks for what an option may be
    line = " ".join(text.replace("Value error, ", "").split()) or type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ... (all: sparseflow --debug)"


def _fail(error: Exception, status: int) -> None:
    if "--debug" in sys.argv[1:]:
        raise error
    typer.secho(f"error: {_reason(error)}", fg=typer.colors.RED, err=True)
    for line in getattr(error, "snippet", "").splitlines():
        typer.echo(f"    {line}", err=True)
    sys.exit(status)


app.command()(ip)
app.command()(doctor)
app.command()(regress)
app.command()(boards)
app.command()(fit)
app.command()(study)
app.command()(tune)
app.command()(build)
app.command()(load)
app.command()(job)
app.command()(serve)
app.command()(adapt)
app.command("c-header")(c_header)
app.command()(synth)
app.command()(timing)


def _end(number: int, frame: object = None) -> None:
    """Unwind, and say why: a log that only stops explains nothing."""
    with suppress(OSError):  # the terminal may be what has gone
        typer.echo(f"ended by {signal.Signals(number).name}", err=True)
    sys.exit(128 + number)


def main() -> None:
    """Run the command line.

    Errors of use or input end it with status 2, hardware that is not what the model says
    with status 1; each is told on one line.
    """
    # What a command has begun is cleared away as after Ctrl-C: tools stopped, folders removed.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    # It says what torch does inside, which changes no result.
    warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
    # Of Amaranth, about what an error or Ctrl-C has left unfinished: it would bury the error.
    warnings.filterwarnings("ignore", ".* created but never used")
    try:
        with as_typed(sys.argv[1:]):
            status = app(standalone_mode=False)
        _end(signal.SIGINT) if status == INTERRUPTED else sys.exit(status)
    except typer.Abort as error:  # by Ctrl-C, in some releases of Typer; others return 130
        if isinstance(error.__cause__, EOFError):  # a reader's: Typer takes it for Ctrl-D
            _fail(error.__cause__, 2)
        _end(signal.SIGINT)
    except (ValueError, RuntimeError, OSError, ModuleNotFoundError) as error:
        _fail(error, getattr(error, "exit_status", 2))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # help is printed already
            sys.exit(2)
        _fail(error, 2)

"""The command line: every step on its own, and ``demo`` for all of them in a row."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .doctor_command import doctor

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
    `labels` (sequences,) int, classes from 0.
    """,
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(data_app, name="data", help="Write a data set that comes with a package.")


class Simulator(StrEnum):
    """Simulators that `simulate` can run."""

    verilator = "verilator"
    icarus = "icarus"


class Images(StrEnum):
    """Formats of memory images."""

    mem = "mem"
    coe = "coe"
    mif = "mif"
    ihex = "ihex"


def _within(low: float, high: float | None = None, multiple: int = 1) -> Callable[[Any], Any]:
    """Refuse other numbers, naming what was given: Typer's own message does not."""

    def check(value: Any) -> Any:
        outside = value is not None and not (low <= value and (high is None or value <= high))
        if outside or (value is not None and multiple > 1 and value % multiple):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            steps = f"a multiple of {multiple}, " if multiple > 1 else ""
            raise typer.BadParameter(f"{value} must be {steps}{limits}")
        return value

    return check


Seed = Annotated[
    int,
    typer.Option(
        callback=_within(0, 2**32 - 1), help="Of every random choice; same seed, same result."
    ),
]
Pes = Annotated[
    int,
    typer.Option(
        callback=_within(4, multiple=4),
        help="Processing elements (M): rows worked on at once; a multiple of 4.",
    ),
]
Lanes = Annotated[
    int,
    typer.Option(
        callback=_within(1),
        help="Multipliers in each (N); must divide the banks of the model.",
    ),
]


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


@data_app.command("japanese-vowels")
def japanese_vowels(
    out: Annotated[Path, typer.Option(help="Folder for train.npz and test.npz.")],
) -> None:
    """Write the demo's speech: nine speakers told apart by one vowel.

    **In:** nothing; the recordings come with an installed package. **Out:** `train.npz` and
    `test.npz`, normalised, 12 features a frame, 270 and 370 utterances.

    **Next:** `sparseflow prune CHECKPOINT --data OUT/train.npz --out pruned.safetensors`
    """
    from . import pipeline

    pipeline.japanese_vowels(out=out)
    _next("prune", "CHECKPOINT", "--data", out / "train.npz", "--out", "pruned.safetensors")


@app.command()
def prune(
    checkpoint: Annotated[
        Path, typer.Argument(help="State dict of a classifier, .safetensors or torch.save.")
    ],
    data: Annotated[Path, typer.Option(help="Labelled sequences (.npz) to fine-tune on.")],
    out: Annotated[Path, typer.Option(help="Where the pruned checkpoint goes (.safetensors).")],
    banks: Annotated[
        int, typer.Option(callback=_within(1), help="Banks in every row of both matrices.")
    ] = 8,
    sparsity: Annotated[
        float, typer.Option(callback=_within(0, 1), help="Share of weights to remove, 0 to 1.")
    ] = 0.875,
    epochs: Annotated[
        int, typer.Option(callback=_within(1), help="Epochs of fine-tuning, all together.")
    ] = 70,
    seed: Seed = 0,
) -> None:
    """Remove weights so that every bank of every row keeps equally many.

    **In:** a dense checkpoint and its training data. The state dict holds one `nn.LSTM` layer
    under torch's names (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`; any prefix)
    and one `nn.Linear` on its last hidden state. **Out:** a checkpoint of the same shape, its
    masks included. Sparsity grows in increments with fine-tuning between them; what is achieved
    is printed, as whole weights per bank may not meet the request exactly.

    **Next:** `sparseflow pack OUT --calibration DATA --out model.safetensors`
    """
    from . import pipeline

    pipeline.prune_checkpoint(
        checkpoint=checkpoint,
        data=data,
        out=out,
        banks=banks,
        sparsity=sparsity,
        epochs=epochs,
        seed=seed,
    )
    _next("pack", out, "--calibration", data, "--out", out.with_name("model.safetensors"))


@app.command()
def pack(
    pruned: Annotated[Path, typer.Argument(help="Checkpoint that `prune` wrote.")],
    calibration: Annotated[
        Path, typer.Option(help="Sequences (.npz) that show the inputs' range.")
    ],
    out: Annotated[Path, typer.Option(help="Where the integer model goes (.safetensors).")],
    banks: Annotated[
        int | None,
        typer.Option(
            callback=_within(1), help="Banks of both matrices; by default the checkpoint says."
        ),
    ] = None,
    value_bits: Annotated[
        int, typer.Option(callback=_within(4, 18), help="Bits of a weight, 4 to 18.")
    ] = 16,
    act_bits: Annotated[
        int,
        typer.Option(callback=_within(6, 18), help="Bits of inputs and hidden state, 6 to 18."),
    ] = 16,
) -> None:
    """Turn a pruned network into integers in compressed sparse banks (CSB).

    **In:** a pruned checkpoint and typical inputs. A network that was pruned elsewhere needs
    `--banks`. **Out:** a model file of integers and formats, which no longer needs PyTorch and
    fits every array whose lanes divide its banks.

    **Next:** `sparseflow verilog OUT --out build/verilog`
    """
    from . import pipeline

    pipeline.pack(
        pruned=pruned,
        calibration=calibration,
        out=out,
        banks=banks,
        value_bits=value_bits,
        act_bits=act_bits,
    )
    _next("verilog", out, "--out", out.with_name("verilog"))


@app.command()
def verilog(
    model: Annotated[Path, typer.Argument(help="Model that `pack` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the Verilog and the memory images.")],
    pes: Pes = 16,
    lanes: Lanes = 8,
    images: Annotated[
        Images, typer.Option(help="Format of the memory images; mem is always written.")
    ] = Images.mem,
) -> None:
    """Emit the accelerator for a model: Verilog and memory images.

    **In:** a packed model and the size of the array. **Out:** a folder with the Verilog and
    the images of weights, biases and program, ready for simulation and synthesis.

    **Next:** `sparseflow simulate MODEL --data DATA --build build/simulation`
    """
    from . import pipeline

    pipeline.verilog(model=model, out=out, pes=pes, lanes=lanes, images=images.value)
    build = out.with_name("simulation")
    _next("simulate", model, "--data", "DATA", "--build", build, "--pes", pes, "--lanes", lanes)


@app.command()
def simulate(
    model: Annotated[Path, typer.Argument(help="Model that `pack` wrote.")],
    data: Annotated[Path, typer.Option(help="Sequences (.npz) to run; labels give accuracy.")],
    build: Annotated[Path, typer.Option(help="Folder for the compiled simulation and results.")],
    simulator: Annotated[
        Simulator, typer.Option(help="Verilator compiles first, then is far faster.")
    ] = Simulator.verilator,
    pes: Pes = 16,
    lanes: Lanes = 8,
    utterances: Annotated[
        int | None,
        typer.Option(callback=_within(1), help="Run only the first so many; all by default."),
    ] = None,
    dense: Annotated[
        Path | None, typer.Option(help="Dense checkpoint, for its accuracy; needs --pruned.")
    ] = None,
    pruned: Annotated[
        Path | None, typer.Option(help="Pruned checkpoint, for its accuracy; needs --dense.")
    ] = None,
) -> None:
    """Run the Verilog and compare every bit of its output with the integer model.

    **In:** a packed model and sequences. **Out:** in the build folder, the mismatches (0 if
    all is well), accuracy and counted clock cycles. Another simulator on the same model, data
    and array adds itself to the results. A mismatch ends the command with status 1 and names
    gate, row, bank and cycle.

    **Next:** `sparseflow report BUILD --out build/report`
    """
    if (dense is None) != (pruned is None):
        raise typer.BadParameter("give both --dense and --pruned, or none of them")
    from . import pipeline

    pipeline.simulate(
        model=model,
        data=data,
        build=build,
        simulator=simulator.value,
        pes=pes,
        lanes=lanes,
        utterances=utterances,
        dense=dense,
        pruned=pruned,
    )
    _next("report", build, "--out", build / "report")


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html.")],
) -> None:
    """Write the figures of a run as report.json and report.html, and print them.

    **In:** the folder that `simulate` or `demo` filled. **Out:** one file for programs, one
    page for people that needs no network.

    **Next:** open report.html in a browser.
    """
    from . import pipeline

    pipeline.report(run_dir=run_dir, out=out)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path(
        "build/demo"
    ),
    seed: Seed = 0,
    pes: Pes = 16,
    lanes: Lanes = 8,
    icarus: Annotated[
        int,
        typer.Option(callback=_within(0), help="Utterances that Icarus runs too; 0 for none."),
    ] = 10,
) -> None:
    """Do all steps on real speech: nine speakers told apart by one vowel.

    **In:** nothing; the recordings come with an installed package. **Out:** the trained,
    pruned and packed model, Verilog, simulation results and report.

    **Next:** open OUT/report.html, then take your own network through the single steps.
    """
    from . import pipeline

    pipeline.demo(out=out, seed=seed, pes=pes, lanes=lanes, icarus=icarus)


def _next(*words: object) -> None:
    typer.echo(f"next: sparseflow {shlex.join(map(str, words))}", err=True)


_LONGEST = 1000


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install -e '.[train,demo]'"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # Typer's errors of use tell more than their text; its class for them depends on the release.
    text = str(getattr(error, "format_message", error.__str__)())
    line = " ".join(text.split()) or type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ... (all: sparseflow --debug)"


def _fail(error: Exception, status: int) -> None:
    if "--debug" in sys.argv[1:]:
        raise error
    typer.secho(f"error: {_reason(error)}", fg=typer.colors.RED, err=True)
    sys.exit(status)


app.command()(doctor)


def main() -> None:
    """Run the command line.

    Errors of use or input end it with status 2, hardware that is not what the model says
    with status 1; each is told on one line.
    """
    try:
        sys.exit(app(standalone_mode=False))
    except typer.Abort:  # by Ctrl-C, in some releases of Typer; others return 130 themselves
        sys.exit(130)
    except (ValueError, RuntimeError, OSError, ModuleNotFoundError) as error:
        _fail(error, getattr(error, "exit_status", 2))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # help is printed already
            sys.exit(2)
        _fail(error, 2)

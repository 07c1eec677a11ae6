"""The command line: every step on its own, and ``demo`` for all of them in a row."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import __version__

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
    **report** the figures. **demo** does all of them on real speech.
    """,
)


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


Seed = Annotated[int, typer.Option(min=0, help="Of every random choice; same seed, same result.")]
Pes = Annotated[
    int, typer.Option(min=4, help="Processing elements (M): rows worked on at once, four a unit.")
]
Lanes = Annotated[
    int, typer.Option(min=1, help="Multipliers in each (N); must divide the banks of the model.")
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


@app.command()
def prune(
    checkpoint: Annotated[Path, typer.Argument(help="Trained LSTM classifier (.safetensors).")],
    data: Annotated[Path, typer.Option(help="Labelled sequences to fine-tune on.")],
    out: Annotated[Path, typer.Option(help="Where the pruned checkpoint goes.")],
    banks: Annotated[int, typer.Option(min=1, help="Banks in every row of both matrices.")] = 8,
    sparsity: Annotated[
        float, typer.Option(min=0, max=1, help="Share of weights to remove.")
    ] = 0.875,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of fine-tuning, all together.")] = 70,
    seed: Seed = 0,
) -> None:
    """Remove weights so that every bank of every row keeps equally many.

    **In:** a dense checkpoint and training data. **Out:** a checkpoint of the same shape,
    its masks included. Sparsity grows in increments with fine-tuning between them; what is
    achieved is printed, as whole weights per bank may not meet the request exactly.

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


@app.command()
def pack(
    pruned: Annotated[Path, typer.Argument(help="Checkpoint that `prune` wrote.")],
    calibration: Annotated[Path, typer.Option(help="Sequences that show the inputs' range.")],
    out: Annotated[Path, typer.Option(help="Where the integer model goes.")],
) -> None:
    """Turn a pruned network into integers in compressed sparse banks (CSB).

    **In:** a pruned checkpoint and typical inputs. **Out:** a model file of integers and
    formats, which no longer needs PyTorch and fits every array whose lanes divide its banks.

    **Next:** `sparseflow verilog OUT --out build/verilog`
    """
    from . import pipeline

    pipeline.pack(pruned=pruned, calibration=calibration, out=out)


@app.command()
def verilog(
    model: Annotated[Path, typer.Argument(help="Model that `pack` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the Verilog and the memory images.")],
    pes: Pes = 8,
    lanes: Lanes = 8,
    images: Annotated[Images, typer.Option(help="Format of the memory images.")] = Images.mem,
) -> None:
    """Emit the accelerator for a model: Verilog and memory images.

    **In:** a packed model and the size of the array. **Out:** a folder with the Verilog and
    the images of weights, biases and program, ready for simulation and synthesis.

    **Next:** `sparseflow simulate MODEL --data DATA --build build/simulation`
    """
    from . import pipeline

    pipeline.verilog(model=model, out=out, pes=pes, lanes=lanes, images=images.value)


@app.command()
def simulate(
    model: Annotated[Path, typer.Argument(help="Model that `pack` wrote.")],
    data: Annotated[Path, typer.Option(help="Labelled sequences to run.")],
    build: Annotated[Path, typer.Option(help="Folder for the compiled simulation and results.")],
    simulator: Annotated[
        Simulator, typer.Option(help="Verilator compiles first, then is far faster.")
    ] = Simulator.verilator,
    pes: Pes = 8,
    lanes: Lanes = 8,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="Run only the first so many; all by default.")
    ] = None,
) -> None:
    """Run the Verilog and compare every bit of its output with the integer model.

    **In:** a packed model and sequences. **Out:** in the build folder, the mismatches (0 if
    all is well), accuracy and counted clock cycles.

    **Next:** `sparseflow report BUILD --out build/report`
    """
    from . import pipeline

    pipeline.simulate(
        model=model,
        data=data,
        build=build,
        simulator=simulator.value,
        pes=pes,
        lanes=lanes,
        utterances=utterances,
    )


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
    pes: Pes = 8,
    lanes: Lanes = 8,
) -> None:
    """Do all steps on real speech: nine speakers told apart by one vowel.

    **In:** nothing; the recordings come with an installed package. **Out:** the trained,
    pruned and packed model, Verilog, simulation results and report.

    **Next:** open OUT/report.html, then take your own network through the single steps.
    """
    from . import pipeline

    pipeline.demo(out=out, seed=seed, pes=pes, lanes=lanes)


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install -e '.[train,demo]'"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    """Run the command line; errors of use or input end it with status 2 and one line."""
    try:
        app()
    except (ValueError, RuntimeError, OSError, ModuleNotFoundError) as error:
        if "--debug" in sys.argv[1:]:
            raise
        typer.secho(f"error: {_reason(error)}", fg=typer.colors.RED, err=True)
        sys.exit(2)

"""``sparseflow cpu ...``, ``serve`` and ``adapt``: a packed model on this processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from csb_format.extras import needs

from .. import __version__
from ..serve.options import ServeOptions
from ..steps.cpu.options import CpuBenchOptions, CpuPlanOptions, CpuRunOptions
from ..steps.learning.options import AdaptOptions
from .derived import derived
from .hints import hint

__all__ = ["adapt", "cpu_app", "serve"]

BATCHES = (1, 4, 16, 64)

cpu_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@cpu_app.command("run")
@derived(CpuRunOptions)
def run(given: CpuRunOptions) -> None:
    """Run sequences through a packed model, bit for bit what the accelerator computes.

    **In:** a packed model and sequences. **Out:** the time of a frame and, with labels or targets,
    the score; with `--out` outputs of all frames and the head's answers. A C library runs it, which
    a C compiler builds at first use. `--check` holds every state against the integer model; one
    that differs ends the command with status 1.

    **Next:** `sparseflow cpu bench MODEL`
    """
    from pruning.tasks.scores.score import in_words

    from ..pages.scores.told import classes_in_words
    from ..steps.cpu import running

    _check_places(given)
    found = running.run(given)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{found['frames']:,} frames of {found['sequences']:,} sequences, "
        f"{found['us_per_frame']:.2f} us a frame, Python's part in it ({_how(found)})"
    )
    if given.check:
        console.print(f"{found['compared']:,} frames are the integer model's in every bit")
    if (score := found.get("score")) is not None:
        console.print(f"{'score' if 'mse' in score else 'accuracy'}: {in_words(score)}")
        if (classes := classes_in_words(found["scored"])) is not None:
            console.print(f"right by class: {classes}")
    if given.out is not None:
        console.print(f"wrote {given.out}")
    _write(given.json, found)
    hint("cpu", "bench", given.model)


def _check_places(given: CpuRunOptions) -> None:
    """Refuse what cannot be written before any work."""
    from csb_format.files.ownership import PlaceError

    from ..steps.checks import check_written

    for name, path in (("--out", given.out), ("--json", given.json)):
        if path is not None:
            check_written(name, path, given.model, given.data)
    if given.out and given.json and given.out.resolve() == given.json.resolve():
        raise PlaceError(f"--out and --json are both {given.out}: name two files")


@cpu_app.command("bench")
@derived(CpuBenchOptions)
def bench(given: CpuBenchOptions) -> None:
    """Time a packed model here: a stream's latencies, and streams side by side.

    **In:** a packed model. **Out:** a table, and JSON. Times are those of the clock, measured in
    the library with frames over the whole input format; other work on the machine lengthens them.

    **Next:** `sparseflow cpu plan MODEL`
    """
    from engine.native.model import NativeModel

    from ..steps.checks import check_written
    from ..steps.cpu.timing import latencies, random_frames_of, throughput

    if given.json is not None:
        check_written("--json", given.json, given.model)
    native = NativeModel(given.model, given.kernel, given.threads)
    if native.shape.directions != 1:
        raise typer.BadParameter(
            f"{given.model} has two directions: it has no steps to time; `sparseflow cpu run` "
            "tells the time of its frames"
        )
    frames, kernel = random_frames_of(native, given.seed), native.layers[0].kernel
    found: dict[str, Any] = {"model": given.model.name, "kernel": kernel, "seed": given.seed}
    found |= {"threads": given.threads}
    found |= {"steps": given.steps, "latency_us": latencies(native, frames, given.steps)}
    found["batches"] = {
        str(batch): throughput(native, frames, batch) for batch in given.batch or BATCHES
    }
    told = ", ".join(f"{name} {us:.2f}" for name, us in found["latency_us"].items())
    table = _table(f"{given.model}, {_how(found)}; a stream alone, us a step: {told}")
    for column in ("streams", "us a step of each", "steps a second"):
        table.add_column(column, justify="right")
    for batch, us in found["batches"].items():
        table.add_row(batch, f"{us:.2f}", f"{1e6 / us:,.0f}")
    Console().print(table)
    _write(given.json, found)
    hint("cpu", "plan", given.model)


@cpu_app.command("plan")
@derived(CpuPlanOptions)
def plan(given: CpuPlanOptions) -> None:
    """Show how a packed model is laid out here, and what every kernel makes of it.

    **In:** a packed model. **Out:** for every layer the kernel, the columns that it picks from at a
    time, bytes of a state and of a weight, and entries worked on for each weight kept; and the
    measured time of a step with every kernel that this processor has, and on every kind of core.
    `--clocks` measures it at every clock of each kind, and puts the clocks back.

    **Next:** `sparseflow cpu run MODEL --data DATA --check`
    """
    from ..steps.checks import check_written
    from ..steps.cpu.timing import planned

    if given.json is not None:
        check_written("--json", given.json, given.model)
    found = planned(given.model, given.kernel, given.clocks)
    told = ", ".join(f"{name} {us:.2f}" for name, us in found["kernels"].items())
    table = _table(f"{given.model}: us a step of one stream by kernel: {told}")
    for column in ("layer", "kernel", "window", "bytes: state", "weight", "kept", "worked", "kB"):
        table.add_column(column, justify="left" if column == "kernel" else "right")
    for n, layer in enumerate(found["layers"]):
        table.add_row(*_layer(n, layer))
    Console().print(table)
    for kind in found["kinds"]:
        typer.echo(_kind(kind))
    _write(given.json, found)
    hint("cpu", "run", given.model, "--data", "DATA", "--check")


def _kind(kind: Mapping[str, Any]) -> str:
    """A kind of cores in a line."""
    cores = ", ".join(map(str, kind["cores"]))
    text = f"{'cores' if len(kind['cores']) > 1 else 'core'} {cores}: {kind['us']:.2f} us a step"
    if "clocks" not in kind:
        return text
    if not kind["clocks"]:
        return f"{text}; the system offers no clocks to choose from (cpufreq)"
    each = ", ".join(f"{khz / 1e6:.2f} GHz {us:.2f}" for khz, us in kind["clocks"].items())
    return f"{text}; by clock: {each}; {kind['lowest'] / 1e6:.2f} GHz is enough"


@derived(ServeOptions, ends=False)
def serve(given: ServeOptions) -> None:
    """Serve a packed model over HTTP: the Open Inference Protocol, as Triton and KServe speak it.

    **In:** a packed model. **Out:** nothing, until a signal (Ctrl-C, SIGTERM) ends it; requests
    in work are answered first. Streams keep their states between requests, and those that have
    a frame at the same time run together, bit for bit the integer model.

    **Next:** `curl http://127.0.0.1:8000/v2/models/MODEL`
    """
    from ..serve.served import Served
    from ..serve.server import serve as run

    host, name, limits = given.address, given.served_name, given.limits
    served = Served(given.model, name, given.kernel, given.threads)

    def told(port: int) -> None:
        where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        typer.echo(f"serving {given.model} at {where}/v2/models/{name}; Ctrl-C ends it")
        if not _is_loopback(host):
            typer.echo(f"{host}: whoever reaches it may ask; there is no password", err=True)

    run(served, limits, __version__, host, given.port, told)


@derived(AdaptOptions)
def adapt(given: AdaptOptions) -> None:
    """Let a packed model go on learning from new data, in integers, here or on an array.

    **In:** a packed model with a head, and labelled sequences: another speaker, another
    microphone, a sensor that drifts. **Out:** a model file with the same masks, formats and
    geometry, which every array that it fitted takes; with `--page` a page about what was learnt.
    Only kept weights move. What is held out judges: the best epoch is kept, and if none is better
    than before, all is rolled back, which is said. The model that is read is never touched.

    **Next:** `sparseflow cpu run OUT --data DATA --check`
    """
    from ..steps.learning import adapting

    _check_written(given)
    found = adapting.adapt(given)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_learnt(found))
    console.print(f"wrote {given.out}")
    for path in (given.page, given.json):
        if path is not None:
            console.print(f"wrote {path}")
    hint("cpu", "run", given.out, "--data", given.data, "--check")


def _learnt(found: Mapping[str, Any]) -> str:
    from pruning.tasks.scores.score import in_words

    before, after = (in_words(found[when]["score"]) for when in ("before", "after"))
    if found["rolled_back"]:
        return (
            f"rolled back: none of {len(found['epochs'])} epochs was better on held-out data than "
            f"before, {before}; the file holds the model as it was"
        )
    return (
        f"held-out data: {before} before, {after} after epoch {found['kept_epoch']} of "
        f"{len(found['epochs'])} (seed {found['options']['seed']})"
    )


def _check_written(given: AdaptOptions) -> None:
    """Refuse what cannot be written, or said, before any work."""
    from csb_format.files.ownership import PlaceError

    from ..steps.checks import check_written
    from ..steps.learning.state import state_path

    _ = given.settings
    if given.page is not None:
        with needs("report"):  # not after all the work
            import jinja2
            import matplotlib

            del jinja2, matplotlib
    read = [path for path in (given.model, given.data, given.val) if path is not None]
    written = {"--out": given.out, "--page": given.page, "--json": given.json}
    named = {name: path for name, path in written.items() if path is not None}
    for name, path in named.items():
        check_written(name, path, *read)
    places = [path.resolve() for path in named.values()]
    if len(set(places)) < len(places):
        raise PlaceError(f"{' and '.join(named)} name one file twice: name different ones")
    state = state_path(given.out)
    if state.resolve() in places:
        raise PlaceError(f"{state} is where the state of {given.out} goes: name another file")


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _how(found: Mapping[str, Any]) -> str:
    return f"{found['kernel']}, {found['threads']} thread{'s' * (found['threads'] > 1)}"


def _layer(n: int, layer: Mapping[str, Any]) -> list[str]:
    size = [layer["window"], layer["state_digits"], layer["weight_digits"]]
    share = layer["entries"] / max(layer["weights"], 1)
    return [
        str(n),
        layer["kernel"],
        *(str(number) if number else "" for number in size),
        f"{layer['weights']:,}",
        f"{share:.2f}",
        f"{layer['bytes'] / 1000:,.1f}",
    ]


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1))


def _write(path: Path | None, found: Mapping[str, Any]) -> None:
    from csb_format.files.replace import replace_file

    if path is not None:
        text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False)
        replace_file(path, f"{text}\n".encode())
        Console(highlight=False, markup=False, soft_wrap=True).print(f"wrote {path}")

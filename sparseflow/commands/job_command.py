"""``sparseflow job``: from a model, a bitstream's folder and data to a job for the C example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..steps.options import CHeaderOptions, JobOptions
from .derived import derived

if TYPE_CHECKING:
    from compiler.lower.image import Image
    from csb_format import Model

__all__ = ["c_header", "job"]


@derived(JobOptions)
def job(given: JobOptions) -> None:
    """Write the job that the C example runs on a board.

    **In:** a packed model, the folder of a build that it fits, sequences. **Out:** a text with
    all that goes over the line; with `--words` what the board must answer, to the bit.

    **Next:** `posix_host PORT < JOB > answers && cmp answers WORDS`
    """
    from boards.host.job import answers, job_of
    from boards.load.made import baud_of
    from csb_format import load_model
    from csb_format.files.replace import replace_file
    from engine.reference import IntegerModel

    from ..steps.places import check_features, known_to, read_scaled
    from ..steps.progress import say
    from ..steps.runs.share import share_of

    _check_places(given)
    model = load_model(given.model)
    whole, _ = read_scaled(given.data, other=known_to(model), what=given.model)
    share = share_of(whole, given.utterances, given.seed)
    data = share.data
    check_features(model, data, given.data)
    image = _image(given, model)
    frames = IntegerModel(model).quantise(data.sequences)
    baud = baud_of(given.folder) if given.baud is None else given.baud
    made = job_of(image, frames, baud, together=given.together)
    expected = "".join(f"{word}\n" for word in answers(image, made)) if given.words else ""
    replace_file(given.out, made.text().encode())
    if given.words is not None:
        replace_file(given.words, expected.encode())
    if share.places is not None:
        say(f"in the job: {share}")
    packets, out = len(made.packets), sum(count for _, count in made.packets)
    what = "packets" if given.together else "sequences"
    typer.echo(f"{given.out}: {packets} {what} at {made.baud} baud, {out} words to come back")


@derived(CHeaderOptions)
def c_header(given: CHeaderOptions) -> None:
    """Write a model as a C header, for a processor that drives a board.

    **In:** a packed model, and the folder of a build that it fits. **Out:** a header with what is
    loaded, the scale of raw features, their places in a frame and the names of classes;
    `boards/c/sparseflow_input.c` makes packets of raw features with it, bit for bit as Python does.

    **Next:** include it beside `boards/c/sparseflow.h` ([docs/link.md](link.md))
    """
    from boards.host.c_model import model_header
    from csb_format import load_model
    from csb_format.files.replace import replace_file

    from ..steps.checks import check_written

    check_written("--out", given.out, given.model)
    model = load_model(given.model)
    image = _image(given, model)
    replace_file(given.out, model_header(image, given.name).encode())
    scale = "no scale" if model.input_scale is None else "their scale"
    named = ", ".join(model.label_names) or "no names of classes"
    typer.echo(f"{given.out}: {model.layers[0].input_size} features, {scale}; {named}")


def _check_places(given: JobOptions) -> None:
    """Refuse what cannot be written before any work."""
    from csb_format.files.ownership import PlaceError

    from ..steps.checks import check_written

    check_written("--out", given.out, given.model, given.data)
    if given.words is not None:
        check_written("--words", given.words, given.model, given.data)
        if given.words.resolve() == given.out.resolve():
            raise PlaceError(f"--out and --words are both {given.out}: name two files")


def _image(given: JobOptions | CHeaderOptions, model: Model) -> Image:
    """The model as the bitstream takes it."""
    from compiler.abi.design_file import read_design
    from compiler.lower.compile import compile_model
    from csb_format.scales import DesignError

    if not given.folder.exists():
        raise FileNotFoundError(
            f"{given.folder}: there is no such folder: sparseflow build MODEL --board BOARD --out "
            f"{given.folder} makes one"
        )
    try:
        design = read_design(given.folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{given.folder} has no design.json: give a folder that sparseflow build made"
        ) from error
    try:
        return compile_model(model, design)
    except DesignError as error:
        raise DesignError(
            f"{given.model} does not fit the bitstream of {given.folder}: {error}"
        ) from error

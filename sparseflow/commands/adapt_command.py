"""``sparseflow adapt``: a packed model goes on learning, in integers."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ..steps.learning.options import AdaptOptions
from .derived import derived
from .hints import hint

__all__ = ["adapt"]


@derived(AdaptOptions)
def adapt(given: AdaptOptions) -> None:
    """Let a packed model go on learning from new data, in integers, on this processor.

    **In:** a packed model with a head, and labelled sequences: another speaker, another
    microphone, a sensor that drifts. **Out:** a model file with the same masks, formats and
    geometry, which every array that it fitted takes; with `--page` a page about what was learnt.
    Only kept weights move. What is held out judges: the best epoch is kept, and if none is better
    than before, all is rolled back, which is said. The model that is read is never touched.

    **Next:** `sparseflow cpu run OUT --data DATA --check`
    """
    from ..steps.learning import adapting

    _check_places(given)
    found = adapting.adapt(given)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_told(found))
    console.print(f"wrote {given.out}")
    for path in (given.page, given.json):
        if path is not None:
            console.print(f"wrote {path}")
    hint("cpu", "run", given.out, "--data", given.data, "--check")


def _told(found: dict[str, Any]) -> str:
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


def _check_places(given: AdaptOptions) -> None:
    """Refuse what cannot be written, or said, before any work."""
    from csb_format.files.ownership import PlaceError

    from ..steps.checks import check_written

    _ = given.settings
    read = [path for path in (given.model, given.data, given.val) if path is not None]
    written = {"--out": given.out, "--page": given.page, "--json": given.json}
    named = {name: path for name, path in written.items() if path is not None}
    for name, path in named.items():
        check_written(name, path, *read)
    places = [path.resolve() for path in named.values()]
    if len(set(places)) < len(places):
        raise PlaceError(f"{' and '.join(named)} name one file twice: name different ones")

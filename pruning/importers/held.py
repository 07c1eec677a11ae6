"""Stand-ins for what checkpoints hold beside tensors: read without running the real classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["STAND_INS"]


class Held:
    """Takes any contents and forgets them: what it stands for is told by its name alone."""

    def __new__(cls, *contents: object) -> Held:
        del contents
        return super().__new__(cls)

    def __init__(self, *contents: object) -> None:
        del contents

    def __setstate__(self, state: object) -> None:
        del state


def _plain_dict(factory: Callable[[], object] | None = None) -> dict[str, object]:
    del factory
    return {}


_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath", "Path", "PurePath")
_NUMPY = ("scalar", "_reconstruct")
_NAMES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in _NUMPY),
    *(f"numpy.dtypes.{name}" for name in np.dtypes.__all__),
    *(f"pathlib.{name}" for name in _PATHS),
    *(f"pathlib._local.{name}" for name in _PATHS),  # of Python 3.13
)


def _stand_in(name: str) -> type[Held]:
    shown = {"scalar": "numpy scalar", "_reconstruct": "numpy array"}
    leaf = name.rpartition(".")[2]
    return type(shown.get(leaf, leaf), (Held,), {})


STAND_INS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    dict,
    # torch.ao.pruning keeps its masks in a defaultdict(dict): it is read as an ordinary one.
    (_plain_dict, "collections.defaultdict"),
    *((_stand_in(name), name) for name in _NAMES),
]
"""What ``torch.load(weights_only=True)`` may make besides tensors, for ``safe_globals``."""

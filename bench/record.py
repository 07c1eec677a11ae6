"""Results as JSON that says how it came to be."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from csb_format.files.replace import replace_file
from sparseflow.pages.figures import versions

__all__ = ["Rows", "Smallest", "check_named", "processor", "with_others", "write_record"]

Rows = list[dict[str, Any]]
# For every bench that would take minutes: the same way through it, in seconds.
Smallest = Annotated[
    bool, typer.Option("--smallest", help="A tiny case, to see that it runs; it measures nothing.")
]


def processor() -> str:
    """Name of this processor; with its family and model, as hypervisors often shorten names."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    of = {key.strip(): value.strip() for key, _, value in (n.partition(":") for n in lines)}
    if "model name" not in of:
        return platform.machine()
    return f"{of['model name']} (family {of.get('cpu family')}, model {of.get('model')})"


def write_record(path: Path, module: str, seed: int | list[int], rows: Any, **more: Any) -> None:
    """Write rows beside the command, the seed, the versions and the processor that made them."""
    command = " ".join(["python -m", module, shlex.join(sys.argv[1:])]).rstrip()
    record = {"command": command, "seed": seed, "versions": versions(), "rows": rows} | more
    record["cpu"] = processor()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(
        path, (json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    )


def check_named(given: Iterable[str] | None, there: Iterable[str], what: str = "case") -> None:
    """Refuse the first name that is none of those that there are."""
    names = list(there)
    if unknown := sorted(set(given or ()) - set(names)):
        between = "; " if any("," in name for name in names) else ", "
        raise typer.BadParameter(f"no {what} {unknown[0]!r}: choose among {between.join(names)}")


def with_others(path: Path, rows: Rows, cases: Iterable[str], key: str = "case") -> Rows:
    """Rows beside those that a file has of other cases, all in the order of ``cases``."""
    order, new = list(cases), {row[key] for row in rows}
    kept = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    others = [row for row in kept if row[key] in order and row[key] not in new]
    return sorted(others + rows, key=lambda row: order.index(row[key]))

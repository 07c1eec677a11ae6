"""A run as files: results.json, JUnit XML, Markdown, and its line in the history."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from csb_format.files.ownership import PlaceError
from csb_format.files.replace import replace_file

from ...run.logs import plain_text
from ..jobs.bin_coverage import covered
from ..jobs.runner import CaseResult, Run
from ..suite.figures import are_figures, plain_json, printable

__all__ = [
    "append_history", "as_junit", "as_markdown", "as_results", "check_history", "read_history",
]  # fmt: skip


def as_results(
    run: Run, versions: dict[str, str], lines: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Everything, for programs.

    Parameters
    ----------
    run : Run
    versions : dict of str to str
        Of the tools.
    lines : dict, optional
        Line coverage, from :func:`sim.regress.jobs.line_coverage.combined`.
    """
    return {
        "suite": run.suite,
        "verdict": "passed" if run.passed else "failed",
        "started": run.started,
        "seconds": run.seconds,
        "versions": versions,
        "gated": run.gated,
        "gone": list(run.gone),
        "hardware": run.hardware,
        "coverage": covered(bin for result in run.results for bin in result.bins),
        "lines": lines or {},
        "cases": [result.as_dict() for result in run.results],
    }


def as_junit(run: Run) -> bytes:
    """JUnit XML: a test case for each case, its parameters in name and properties."""
    failures = [r for r in run.failed if not _is_error(r)]
    errors = [r for r in run.failed if _is_error(r)]
    counts = {"tests": len(run.results) + len(run.gone), "errors": len(errors)}
    counts["failures"] = len(failures) + len(run.gone)
    attributes = {key: str(value) for key, value in counts.items()}
    root = ElementTree.Element("testsuites", attributes)
    attributes |= {"name": run.suite, "time": f"{run.seconds:.3f}"}
    suite = _element(root, "testsuite", attributes)
    for result in run.results:
        _junit_case(suite, result, run.suite)
    for name in run.gone:
        case = _element(suite, "testcase", {"name": name, "classname": run.suite})
        _element(case, "failure", {"message": "in the baseline, not in the suite"})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _is_error(result: CaseResult) -> bool:
    wrong = ("timeout", "hang", "crash", "error")
    return result.failure is not None and result.failure["kind"] in wrong


def _junit_case(suite: ElementTree.Element, result: CaseResult, name: str) -> None:
    seconds = f"{result.times.get('seconds', 0.0):.3f}"
    attributes = {"name": result.case.name, "classname": name, "time": seconds}
    case = _element(suite, "testcase", attributes)
    properties = _element(case, "properties", {})
    for key, value in {**result.case.parameters, **result.figures}.items():
        _element(properties, "property", {"name": key, "value": str(value)})
    if result.passed:
        return
    kind = "error" if _is_error(result) else "failure"
    again = f"{result.story}\nagain, with waveforms: {result.replay}"
    _element(case, kind, {"message": result.story.partition("\n")[0]}, again)
    if result.log:
        _element(case, "system-out", {}, result.log)


def _element(
    parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str = ""
) -> ElementTree.Element:
    """An element; XML has no way to write control characters and halves of pairs."""
    clean = {key: plain_text(value) for key, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, clean)
    element.text = plain_text(text) or None
    return element


def as_markdown(run: Run, covered_lines: dict[str, Any] | None = None) -> str:
    """A summary for a pull request: the verdict, what changed, why, what to look at.

    Parameters
    ----------
    run : Run
    covered_lines : dict, optional
        Line coverage.
    """
    mark = "green" if run.passed else "red"
    red = len(run.failed)
    lines = [
        f"## Regression {_escaped(run.suite)}: {mark}",
        "",
        f"{len(run.results) - red} of {len(run.results)} cases passed in {run.seconds:.0f} s"
        + ("." if run.gated else "; there is no baseline yet: record one with `--accept`."),
        "",
    ]
    for result in run.failed:
        lines += [f"### {_escaped(result.case.name)}", "", *_fenced(result.story), ""]
        lines += [f"Again, with waveforms: {_code(result.replay)}", ""]
        if result.log:
            lines += ["<details><summary>end of its log</summary>", ""]
            lines += [*_fenced(result.log), "", "</details>", ""]
    if run.gone:
        names = ", ".join(map(_code, run.gone))
        lines += [f"In the baseline but not in the suite: {names}", ""]
    lines += ["| case | cycles a step | mismatches | seconds |", "|---|---:|---:|---:|"]
    for result in run.results:
        figures = result.figures
        step = figures.get("cycles_per_step", "")
        shown = f"{step:g}" if isinstance(step, float) else _escaped(str(step))
        seconds = f"{result.times.get('seconds', 0.0):.1f}"
        name = _escaped(result.case.name)
        name = name if result.passed else f"**{name}** (red)"
        mismatches = _escaped(str(figures.get("mismatches", "")))
        lines.append(f"| {name} | {shown} | {mismatches} | {seconds} |")
    covering = [*_bin_lines(run), *_file_lines(covered_lines or {})]
    return "\n".join([*lines, "", *covering, ""])


def _escaped(text: str) -> str:
    """A text in a line of Markdown or in a cell of a table: nothing in it is markup."""
    one_line = re.sub(r"\s+", " ", plain_text(text))
    return html.escape(re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", one_line), quote=False)


def _code(text: str) -> str:
    """A text as it is in a line, between more backticks than it has side by side."""
    one_line = re.sub(r"\s+", " ", plain_text(text))
    ticks = "`" * (_ticks(one_line) + 1)
    space = " " if one_line.startswith("`") or one_line.endswith("`") else ""
    return f"{ticks}{space}{one_line}{space}{ticks}"


def _fenced(text: str) -> list[str]:
    """Lines of a text as they are, between fences longer than any in it."""
    clean = plain_text(text)
    fence = "`" * max(3, _ticks(clean) + 1)
    return [fence, clean, fence]


def _ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _bin_lines(run: Run) -> list[str]:
    """Functional coverage; what is not covered by name."""
    lines = ["| covered | bins | missing |", "|---|---:|---|"]
    groups = covered(bin for result in run.results for bin in result.bins)
    for name, group in groups.items():
        missed = "; ".join(group["missed"])
        lines.append(f"| {name} | {group['hit']} of {group['bins']} | {missed} |")
    return lines


def _file_lines(found: dict[str, Any]) -> list[str]:
    """Line coverage; lines that nothing ran by their numbers."""
    if not found:
        return []
    part = {name: file for name, file in found["files"].items() if file["missing"]}
    whole = len(found["files"]) - len(part)
    lines = ["", f"Lines of Python run: {found['percent']} %"]
    lines[-1] += f"; {whole} of {len(found['files'])} files completely"
    lines += ["", "<details><summary>lines that nothing ran</summary>", ""]
    lines += ["| file | % | lines |", "|---|---:|---|"]
    for name, file in part.items():
        lines.append(f"| {name} | {file['percent']} | {file['missing']} |")
    return [*lines, "", "</details>"]


def append_history(path: Path, run: Run) -> list[dict[str, Any]]:
    """Add a run to the history; all of it, oldest first.

    Parameters
    ----------
    path : Path
        One JSON object a line.
    run : Run
    """
    line = {
        "started": run.started,
        "seconds": run.seconds,
        "passed": len(run.results) - len(run.failed),
        "failed": len(run.failed),
        "cases": {
            r.case.name: {key: v for key, v in r.figures.items() if isinstance(v, int | float)}
            | {"seconds": r.times.get("seconds", 0.0), "passed": r.passed}
            for r in run.results
        },
    }
    before = read_history(path)
    lines = [*before, line]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(each, allow_nan=False) + "\n" for each in lines)
    replace_file(path, text.encode())
    return lines


def read_history(path: Path) -> Sequence[dict[str, Any]]:
    """All runs of a history; lines that are not one are left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [run for run in map(_run_of, lines) if run is not None]


def check_history(path: Path) -> None:
    """Refuse a file that holds anything but runs, as adding one would lose it.

    Raises
    ------
    PlaceError
        Naming the first line that is none.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if _run_of(line) is None:
            raise PlaceError(
                f"{path}: line {number} is no run of a history, and would be lost: name another "
                "file, or remove the line"
            )


def _run_of(text: str) -> dict[str, Any] | None:
    try:
        line = plain_json(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and _is_run(line) else None


def _is_run(line: dict[str, Any]) -> bool:
    numbers = {name: line.get(name, 0) for name in ("started", "seconds", "passed", "failed")}
    cases = line.get("cases")
    return (
        are_figures(numbers)
        and not any(isinstance(number, str) for number in numbers.values())
        and isinstance(cases, dict)
        and all(printable(name) and are_figures(case) for name, case in cases.items())
    )

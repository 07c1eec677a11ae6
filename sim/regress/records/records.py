"""A run as files: results.json, JUnit XML, Markdown."""

from __future__ import annotations

import html
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ...run.logs import plain_text
from ..jobs.line_coverage import as_lines
from ..jobs.verdicts import CaseResult, Run

__all__ = ["as_junit", "as_markdown", "as_results"]


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
        "commit": run.commit,
        "shard": run.shard,
        "flaky": list(run.flaky),
        "bins": run.bins,
        "coverage": run.coverage,
        "lines": lines or {},
        "cases": [result.as_dict() for result in run.results],
    }


def as_junit(run: Run, suite_file: Path) -> bytes:
    """JUnit XML: a test case for each case, its parameters in name and properties.

    Parameters
    ----------
    run : Run
    suite_file : Path
        The suite, ``file`` of every case; from the current folder where it lies in it.
    """
    failures = [r for r in run.failed if not _is_error(r)]
    errors = [r for r in run.failed if _is_error(r)]
    counts = {"tests": len(run.results) + len(run.gone), "errors": len(errors)}
    counts["failures"] = len(failures) + len(run.gone)
    attributes = {key: str(value) for key, value in counts.items()}
    attributes |= {"name": run.suite, "time": f"{run.seconds:.3f}"}
    root = ElementTree.Element("testsuites", _clean(attributes))
    file = _short(suite_file)
    when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = _element(root, "testsuite", attributes | {"file": file, "timestamp": when})
    for result in run.results:
        _junit_case(suite, result, run.suite, file)
    for name in run.gone:
        about = {"name": name, "classname": run.suite, "file": file, "time": "0.000"}
        case = _element(suite, "testcase", about)
        _element(case, "failure", {"message": "in the baseline, not in the suite"})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _is_error(result: CaseResult) -> bool:
    wrong = ("timeout", "hang", "crash", "error")
    return result.failure is not None and result.failure["kind"] in wrong


def _short(path: Path) -> str:
    """A path from the current folder, as servers find it in a checkout; else as it is."""
    whole = os.path.abspath(path)
    inside = os.path.relpath(whole)
    return whole if inside.startswith("..") else Path(inside).as_posix()


def _junit_case(suite: ElementTree.Element, result: CaseResult, name: str, file: str) -> None:
    seconds = f"{result.times.get('seconds', 0.0):.3f}"
    attributes = {"name": result.case.name, "classname": name, "file": file, "time": seconds}
    case = _element(suite, "testcase", attributes)
    properties = _element(case, "properties", {})
    for key, value in {**result.case.parameters, **result.figures}.items():
        _element(properties, "property", {"name": key, "value": str(value)})
    if result.passed:
        return
    kind = "error" if _is_error(result) else "failure"
    again = f"{result.story}\nagain{_waves(result)}: {result.replay}"
    _element(case, kind, {"message": result.story.partition("\n")[0]}, again)
    if result.log:
        _element(case, "system-out", {}, result.log)


def _waves(result: CaseResult) -> str:
    """What the command that runs it again leaves; of a program there is nothing more to see."""
    return ", with waveforms" if result.case.traced else ""


def _element(
    parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str = ""
) -> ElementTree.Element:
    """An element; XML has no way to write control characters and halves of pairs."""
    element = ElementTree.SubElement(parent, tag, _clean(attributes))
    element.text = plain_text(text) or None
    return element


def _clean(attributes: dict[str, str]) -> dict[str, str]:
    return {key: plain_text(value) for key, value in attributes.items()}


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
    part = f", shard {run.shard}" if run.shard else ""
    lines = [
        f"## Regression {_escaped(run.suite)}{part}: {mark}",
        "",
        f"{len(run.results) - red} of {len(run.results)} cases passed in {run.seconds:.0f} s"
        + ("." if run.gated else "; there is no baseline yet: record one with `--accept`."),
        "",
    ]
    if run.flaky:
        lines += [f"Flaky: {', '.join(map(_code, run.flaky))}", ""]
    for result in run.failed:
        lines += [f"### {_escaped(result.case.name)}", "", *_fenced(result.story), ""]
        lines += [f"Again{_waves(result)}: {_code(result.replay)}", ""]
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
    covering = [*_bin_lines(run), *as_lines(covered_lines or {})]
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
    for name, group in run.coverage.items():
        missed = "; ".join(group["missed"])
        lines.append(f"| {name} | {group['hit']} of {group['bins']} | {missed} |")
    return lines

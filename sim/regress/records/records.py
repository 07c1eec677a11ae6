"""A run as files: results.json, JUnit XML, Markdown, and its line in the history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from csb_format.files.replace import replace_file

from ..jobs.bin_coverage import covered
from ..jobs.runner import CaseResult, Run

__all__ = ["append_history", "as_junit", "as_markdown", "as_results", "read_history"]

CONTROL = {n: " " for n in range(32) if chr(n) not in "\t\n"}  # XML has no way to write them


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
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    for result in run.results:
        _junit_case(suite, result, run.suite)
    for name in run.gone:
        case = ElementTree.SubElement(suite, "testcase", {"name": name, "classname": run.suite})
        ElementTree.SubElement(case, "failure", {"message": "in the baseline, not in the suite"})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _is_error(result: CaseResult) -> bool:
    wrong = ("timeout", "hang", "crash", "error")
    return result.failure is not None and result.failure["kind"] in wrong


def _junit_case(suite: ElementTree.Element, result: CaseResult, name: str) -> None:
    seconds = f"{result.times.get('seconds', 0.0):.3f}"
    attributes = {"name": result.case.name, "classname": name, "time": seconds}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    properties = ElementTree.SubElement(case, "properties")
    for key, value in {**result.case.parameters, **result.figures}.items():
        attributes = {"name": key, "value": str(value).translate(CONTROL)}
        ElementTree.SubElement(properties, "property", attributes)
    if result.passed:
        return
    story = result.story.translate(CONTROL)
    kind = "error" if _is_error(result) else "failure"
    wrong = ElementTree.SubElement(case, kind, {"message": story.partition("\n")[0]})
    wrong.text = f"{story}\nagain, with waveforms: {result.replay}"
    if result.log:
        ElementTree.SubElement(case, "system-out").text = result.log.translate(CONTROL)


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
        f"## Regression {run.suite}: {mark}",
        "",
        f"{len(run.results) - red} of {len(run.results)} cases passed in {run.seconds:.0f} s"
        + ("." if run.gated else "; there is no baseline yet: record one with `--accept`."),
        "",
    ]
    for result in run.failed:
        lines += [f"### {result.case.name}", "", "```", result.story, "```", ""]
        lines += [f"Again, with waveforms: `{result.replay}`", ""]
        if result.log:
            lines += ["<details><summary>end of its log</summary>", "", "```"]
            lines += [result.log, "```", "", "</details>", ""]
    if run.gone:
        names = ", ".join(f"`{name}`" for name in run.gone)
        lines += [f"In the baseline but not in the suite: {names}", ""]
    lines += ["| case | cycles a step | mismatches | seconds |", "|---|---:|---:|---:|"]
    for result in run.results:
        figures = result.figures
        step = figures.get("cycles_per_step", "")
        shown = f"{step:g}" if isinstance(step, float) else step
        seconds = f"{result.times.get('seconds', 0.0):.1f}"
        name = result.case.name if result.passed else f"**{result.case.name}** (red)"
        lines.append(f"| {name} | {shown} | {figures.get('mismatches', '')} | {seconds} |")
    covering = [*_bin_lines(run), *_file_lines(covered_lines or {})]
    return "\n".join([*lines, "", *covering, ""])


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
    replace_file(path, "".join(json.dumps(each) + "\n" for each in lines).encode())
    return lines


def read_history(path: Path) -> Sequence[dict[str, Any]]:
    """All runs of a history; lines that are not one are left out."""
    if not path.exists():
        return []
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and _is_run(line):
            found.append(line)
    return found


def _is_run(line: dict[str, Any]) -> bool:
    numbers = [line.get(name, 0) for name in ("started", "seconds", "passed", "failed")]
    cases = line.get("cases")
    return all(isinstance(n, int | float) and isfinite(n) for n in numbers) and (
        isinstance(cases, dict) and all(isinstance(case, dict) for case in cases.values())
    )

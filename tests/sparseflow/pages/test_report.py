from __future__ import annotations

import copy
import io
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from csb_format.pooling import FED, POOLS, Pool
from sparseflow.pages import plots
from sparseflow.pages.report import SCHEMA, ReportError, print_table, read_report, write_report

SVG = "{http://www.w3.org/2000/svg}"
REQUIRED = [(key,) for key in SCHEMA] + [(key, name) for key in SCHEMA for name in SCHEMA[key]]


def example() -> dict[str, Any]:
    """Twelve columns in five banks of three: the last bank is padding, one weight a bank."""
    return {
        "accuracy": {"dense": 0.9784, "pruned": 0.9757, "fixed": 0.973, "rtl": 0.973},
        "sparsity": {"weight_ih": 0.6667, "weight_hh": 0.875},
        "sparsity_requested": 0.875,
        "frames": 5687,
        "utterances": 370,
        "mismatches": 0,
        "cycles_per_step": {"floor": 192, "model": 201, "rtl": 201.5},
        "utilisation": 0.955,
        "bytes": {"dense16": 143360, "csr16": 41020, "csb": 26112},
        "bits_per_nonzero": 19.5,
        "array": {"M": 8, "N": 8, "E": 1},
        "macs_per_cycle": {"real": 61.0, "dense_equivalent": 355.6},
        "multipliers": {"products": 64, "elementwise": 6},
        "weights": {"nonzeros": 12288, "total": 71680},
        "seed": 3,
        "versions": {"amaranth": "0.5.10"},
        "hashes": {"model": "a1" * 32, "verilog": "b2" * 32},
        "simulators": [
            {
                "name": "Icarus <11>",
                "utterances": 4,
                "frames": 61,
                "cycles": 12261,
                "seconds": 7.5,
                "cycles_per_second": 1634.8,
                "mismatches": 0,
            }
        ],
        "formats": {"weight_ih": "s16.14", "state": {"width": 18, "frac": 13}},
        "increments": [{"sparsity": 0.5, "accuracy": 0.98}, {"sparsity": 0.875, "accuracy": 0.97}],
        "commands": ["sparseflow demo --out build/demo --seed 3"],
        "row_picture": {
            "matrix": "weight_ih",
            "row": 2,
            "bank_width": 3,
            "banks": 5,
            "columns": 12,
            "kept": [1, 3, 8, 9],
            "values": [0.5, -0.25, 0.125, -1.0],
        },
    }


@pytest.fixture
def report() -> dict[str, Any]:
    return example()


def page(report: dict[str, Any], folder: Path) -> str:
    write_report(report, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def pictures(html: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def without(report: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(report)
    node = changed
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return changed


def test_json_holds_the_report_sorted_and_indented(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(report, tmp_path / "new" / "folder")
    text = (tmp_path / "new" / "folder" / "report.json").read_text(encoding="utf-8")
    assert json.loads(text) == report
    assert text == json.dumps(report, indent=2, sort_keys=True) + "\n"


def test_equal_reports_give_equal_bytes(report: dict[str, Any], tmp_path: Path) -> None:
    backwards = dict(reversed(report.items()))
    backwards["frames"] = np.int64(report["frames"])
    backwards["utilisation"] = np.float64(report["utilisation"])
    backwards["row_picture"] = {**report["row_picture"], "kept": np.array([1, 3, 8, 9])}
    write_report(report, tmp_path / "a")
    write_report(backwards, tmp_path / "b")
    for name in ("report.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "report.html",
        "report.json",
    ]


def test_different_reports_give_different_pages(report: dict[str, Any], tmp_path: Path) -> None:
    first = page(report, tmp_path)
    report["row_picture"]["kept"][0] = 2
    assert page(report, tmp_path) != first


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_missing_key_is_named_and_nothing_written(
    report: dict[str, Any], tmp_path: Path, path: tuple[str, ...]
) -> None:
    with pytest.raises(ReportError, match=f"lacks '{re.escape('.'.join(path))}': add it"):
        write_report(without(report, path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_key_in_a_list_is_named(report: dict[str, Any], tmp_path: Path) -> None:
    del report["simulators"][0]["cycles"]
    with pytest.raises(ReportError, match=r"lacks 'simulators\.0\.cycles'"):
        write_report(report, tmp_path)
    report["simulators"] = []
    del report["increments"][1]["accuracy"]
    with pytest.raises(ReportError, match=r"lacks 'increments\.1\.accuracy'"):
        write_report(report, tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"utilisation": 95.5}, r"utilisation is 95\.5: give a share, 0 to 1"),
        ({"sparsity": {"weight_hh": -0.1}}, r"sparsity\.weight_hh is -0\.1: give a share"),
        ({"bits_per_nonzero": float("nan")}, r"report\.bits_per_nonzero is nan: give a finite"),
        ({"seed": object()}, r"report\.seed is a object: give numbers"),
        ({"accuracy": 0.97}, r"lacks 'accuracy\.dense'"),
    ],
)
def test_bad_value_is_refused(
    report: dict[str, Any], tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(ReportError, match=match):
        write_report({**report, **change}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_row_picture_needs_a_value_for_each_column(report: dict[str, Any], tmp_path: Path) -> None:
    report["row_picture"]["values"].pop()
    with pytest.raises(ReportError, match="4 kept columns and 3 values"):
        write_report(report, tmp_path)


def test_page_loads_nothing_from_elsewhere(report: dict[str, Any], tmp_path: Path) -> None:
    html = page(report, tmp_path)
    names_of_xml = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert "http" not in names_of_xml
    assert not re.search(r"<script|<link|<img|@import|src=|DOCTYPE svg", names_of_xml)


def test_page_has_no_dates(report: dict[str, Any], tmp_path: Path) -> None:
    html = page(report, tmp_path)
    assert not re.search(r"20\d\d-\d\d|dc:date|Matplotlib v", html)


def test_identifiers_are_unique_and_references_resolve(
    report: dict[str, Any], tmp_path: Path
) -> None:
    html = page(report, tmp_path)
    defined = re.findall(r'\bid="([^"]+)"', html)
    assert [name for name, count in Counter(defined).items() if count > 1] == []
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', html)) <= set(defined)


def test_colours_follow_the_page(report: dict[str, Any], tmp_path: Path) -> None:
    html = page(report, tmp_path)
    style, _, body = html.partition("</style>")
    light, _, dark = style.partition("prefers-color-scheme: dark")
    used = set(re.findall(r"var\((--\w+)\)", body))
    assert {"--ours", "--other", "--plus", "--minus", "--empty"} <= used
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) <= {"#000000", "#ffffff"}


def test_every_picture_is_labelled(report: dict[str, Any], tmp_path: Path) -> None:
    found = pictures(page(report, tmp_path))
    assert len(found) == 5
    assert all(picture.get("role") == "img" and picture.get("aria-label") for picture in found)


def test_increments_are_optional(report: dict[str, Any], tmp_path: Path) -> None:
    del report["increments"]
    html = page(report, tmp_path)
    assert len(pictures(html)) == 4
    assert "Accuracy while pruning" not in html


def test_values_are_written_beside_the_bars(report: dict[str, Any]) -> None:
    texts = {
        "accuracy": plots.accuracy(report["accuracy"]),
        "cycles": plots.step_cycles(report["cycles_per_step"]),
        "bytes": plots.memory(report["bytes"]),
    }
    shown = {name: "|".join(ET.fromstring(svg).itertext()) for name, svg in texts.items()}
    assert all(text in shown["accuracy"] for text in ("97.84%", "97.57%", "97.30%"))
    assert all(text in shown["cycles"] for text in ("192", "201", "201.5"))
    assert all(text in shown["bytes"] for text in ("143,360", "41,020", "26,112"))


def test_bars_are_as_long_as_their_values(report: dict[str, Any]) -> None:
    svg = ET.fromstring(plots.memory(report["bytes"]))
    lengths = []
    for path in svg.iter(f"{SVG}path"):
        if re.search(r"--(ours|other)", path.get("style", "")):
            x = [float(text) for text in re.findall(r"[ML] ([\d.]+)", path.get("d", ""))]
            lengths.append(max(x) - min(x))
    shares = np.array(lengths) / max(lengths)
    expected = np.array([143360, 41020, 26112]) / 143360
    np.testing.assert_allclose(shares, expected, atol=1e-4)


def _cells(svg: str, colour: str) -> set[tuple[int, int]]:
    """Bank and index of the cells of a colour, found from their places in the picture."""
    root = ET.fromstring(svg)
    axes = next(g for g in root.iter(f"{SVG}g") if g.get("id") == "row-axes_1")
    corners = {}
    # Direct children: the legend's samples lie deeper. Kept cells are drawn over empty ones.
    for group in axes.findall(f"{SVG}g"):
        for path in group.findall(f"{SVG}path"):
            points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))
            if points and group.get("id", "").startswith("row-patch"):
                x, y = np.array(points, float).min(axis=0).round(1)
                corners[x, y] = path.get("style", "")
    cells = {c: s for c, s in corners.items() if re.search(r"--(plus|minus|empty|other)", s)}
    columns = sorted({x for x, _ in cells})
    rows = sorted({y for _, y in cells})
    return {(rows.index(y), columns.index(x)) for (x, y), s in cells.items() if colour in s}


def test_row_picture_shows_each_weight_in_its_bank(report: dict[str, Any]) -> None:
    svg = plots.row_banks(report["row_picture"])
    assert _cells(svg, "--plus") == {(0, 1), (2, 2)}
    assert _cells(svg, "--minus") == {(1, 0), (3, 0)}
    assert _cells(svg, "--other") == {(4, 0), (4, 1), (4, 2)}
    assert len(_cells(svg, "--empty")) == 12 - 4


def test_page_states_agreement_or_its_lack(report: dict[str, Any], tmp_path: Path) -> None:
    assert '"verdict good">Verilog equals the integer model' in page(report, tmp_path)
    report["mismatches"] = 1234
    assert '"verdict bad">1,234 mismatches' in page(report, tmp_path)


def test_cycles_off_schedule_are_no_agreement(report: dict[str, Any], tmp_path: Path) -> None:
    report["simulators"][0]["cycles_exact"] = False
    assert '"verdict bad">All bits are equal, but cycles differ' in page(report, tmp_path)
    assert "cycle model: Icarus" in table(report)
    report["simulators"][0]["cycles_exact"] = True
    assert '"verdict good">' in page(report, tmp_path)


def table(report: dict[str, Any]) -> str:
    buffer = io.StringIO()
    print_table(report, Console(file=buffer, width=160))
    return buffer.getvalue()


def test_what_nobody_measured_is_said(report: dict[str, Any], tmp_path: Path) -> None:
    report["accuracy"] = dict.fromkeys(("dense", "pruned", "fixed", "rtl"))
    report |= {"sparsity_requested": None, "seed": None}
    html = page(report, tmp_path)
    assert "Accuracy by stage" not in html
    assert "Accuracy while pruning" not in html
    assert "dense float network: not measured" in html
    assert re.search(r"seed</th><td>not known<", html)
    assert "None" not in html
    assert "not measured dense, not measured pruned" in table(report)


@pytest.mark.parametrize("missing", [("dense", "pruned"), ("fixed", "rtl"), ("rtl",)])
def test_only_measured_stages_are_drawn(
    report: dict[str, Any], tmp_path: Path, missing: tuple[str, ...]
) -> None:
    report["accuracy"] |= dict.fromkeys(missing)
    html = page(report, tmp_path)
    shown = {"dense": "dense, float", "fixed": "pruned, integers", "rtl": "Verilog, simulated"}
    assert {key for key, label in shown.items() if f">{label}<" in html} == set(shown) - {*missing}
    assert ("Grey is the reference" in html) == ("dense" not in missing)


def test_weights_that_nobody_asked_for_are_no_use(report: dict[str, Any], tmp_path: Path) -> None:
    asked = report | {"utilisation_asked": 0.7163}
    for shown in (page(asked, tmp_path), table(asked)):
        assert re.search(r"of it asked for.*71\.6%", shown, re.DOTALL)
    assert "of it asked for" not in table(report | {"utilisation_asked": None})
    assert "other weights" in table(asked)
    assert "other weights" not in table(report | {"utilisation_asked": report["utilisation"]})
    with pytest.raises(ReportError, match=r"utilisation_asked is 71\.63: give a share"):
        write_report(report | {"utilisation_asked": 71.63}, tmp_path)


def test_utilisation_must_be_measured(report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="utilisation is None: give a share"):
        write_report(report | {"utilisation": None}, tmp_path)


def test_seconds_are_optional(report: dict[str, Any], tmp_path: Path) -> None:
    assert "Time spent" not in page(report, tmp_path)
    report["seconds"] = {"train": 21.25, "simulate icarus": 3.0}
    html = page(report, tmp_path)
    assert re.search(
        r"Time spent.*simulate icarus</th><td>3\.0 s<.*train</th><td>21\.2 s", html, re.S
    )
    assert "train 21.2" in table(report)


def test_page_shows_real_and_dense_equivalent_work(report: dict[str, Any], tmp_path: Path) -> None:
    html = page(report, tmp_path)
    assert "61 multiply-accumulates are done" in html
    assert "355.6 would do the same work on dense" in html


def test_page_escapes_text(report: dict[str, Any], tmp_path: Path) -> None:
    report["row_picture"]["matrix"] = 'w"<b>'
    html = page(report, tmp_path)
    assert "Icarus &lt;11&gt;" in html
    assert "<b>&" not in html
    assert 'w"<b>' not in html


def test_page_tells_how_to_repeat_the_run(report: dict[str, Any], tmp_path: Path) -> None:
    html = page(report, tmp_path)
    shown = re.sub("</?span[^>]*>", "", html)  # words of a command, which no line breaks
    assert report["commands"][0] in shown
    expected = ["a1" * 32, "b2" * 32, "0.5.10", "width 18", "s16.14"]
    assert [text for text in expected if text not in html] == []


def test_report_is_read_back(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    assert read_report(tmp_path / "report.json") == report


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "is no JSON"), ("[]", "holds no report"), ("{}", "lacks 'accuracy'")],
)
def test_broken_report_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ReportError, match=match):
        read_report(tmp_path)


def test_table_shows_the_main_figures(report: dict[str, Any]) -> None:
    buffer = io.StringIO()
    print_table(report, Console(file=buffer, width=120))
    text = buffer.getvalue()
    expected = ["5,687 frames", "370 utterances", "97.30% Verilog", "66.67%", "201.5 Verilog"]
    expected += ["95.5%", "26,112 CSB", "19.50", "M = 8 PEs", "Icarus <11>", "12,261 cycles"]
    expected += ["12,288 nonzeros of 71,680", "61 real, 355.6 dense-equivalent"]
    expected += ["64 for products, 6 element-wise"]
    assert [figure for figure in expected if figure not in text] == []


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (192, "192"), (201.25, "201.2"), (1234567.0, "1,234,567")]
)
def test_numbers_are_grouped(value: float, text: str) -> None:
    assert plots.number(value) == text


@pytest.mark.parametrize("pool", POOLS)
def test_how_the_head_is_fed_is_on_the_page(
    report: dict[str, Any], tmp_path: Path, pool: Pool
) -> None:
    row = '<tr><th scope="row">head</th><td>fed with {}</td></tr>'
    assert '<th scope="row">head</th>' not in page(report, tmp_path)  # of before, or without a head
    assert row.format(FED[pool]) in page(report | {"pool": pool}, tmp_path)
    with pytest.raises(ReportError, match="pool 'max': choose one of last, hn, mean"):
        page(report | {"pool": "max"}, tmp_path)


def test_increments_stand_beside_the_dense_score_of_the_same_data(
    report: dict[str, Any], tmp_path: Path
) -> None:
    """Those of other data are not held against what is reported, even where that has no score."""
    other = report | {"increments_of": {"sequences": 1234, "dense": 0.875}}
    other["accuracy"] = report["accuracy"] | {"dense": None}
    text = " ".join(page(other, tmp_path).split())
    assert "on 1,234 sequences that were not trained on, of which the dense network gets" in text
    assert "gets 87.50% right" in text
    assert "dense float network: 87.50% on the data of prune --val" in text
    assert "increment of sparsity and its fine-tuning." in " ".join(page(report, tmp_path).split())
    with pytest.raises(ReportError, match=r"increments_of.dense is 1.5: give a share"):
        page(other | {"increments_of": {"sequences": 1, "dense": 1.5}}, tmp_path)


def test_what_was_scored_must_be_told_whole(report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"lacks 'scored\.simulated'"):
        page(report | {"scored": {"sequences": 9, "frames": 30}}, tmp_path)

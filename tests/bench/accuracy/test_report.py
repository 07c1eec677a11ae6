from pathlib import Path
from typing import Any

import pytest

from bench.accuracy.patterns import PATTERNS
from bench.accuracy.report import Scores, claims, report, written
from bench.record import write_record

ENERGY = [{"pattern": "banks of 25", "sparsity": 0.8, "achieved": 0.8, "energy": 0.625}]


def row(stage: str, seed: int = 0, **more: Any) -> dict[str, Any]:
    base = {"network": "ptb200", "stage": stage, "seed": seed, "pattern": "", "sparsity": 0.0}
    return base | {"bits": 0, "act_bits": 0, "way": "", "achieved": 0.0} | more


def tuned(pattern: str, sparsity: float, scores: list[float], **more: Any) -> list[dict[str, Any]]:
    given = {"pattern": pattern, "sparsity": sparsity, "achieved": sparsity} | more
    return [row("tuned", seed, test=score, **given) for seed, score in enumerate(scores)]


ROWS = [
    row("dense", test=110.25),
    row("dense", 1, test=110.75),
    *tuned("", 0.0, [105.0, 106.0]),
    *tuned("unstructured", 0.8, [107.0, 109.0]),
    *tuned("banks of 25", 0.8, [107.1, 109.2]),
    *tuned("banks of 50", 0.8, [107.5]),
    *tuned("banks of 100", 0.8, [107.0, 108.0]),
    *tuned("blocks 4x4", 0.8, [117.0], achieved=0.81),
    row("energy", energy=ENERGY),
    row("bits", bits=8, act_bits=8, way="after", test=107.6, float_test=107.1),
    row(
        "rtl",
        bits=8,
        act_bits=8,
        steps=1000,
        values=800_000,
        mismatches=0,
        cycles=1234.0,
        pes=16,
        lanes=8,
    ),
]


def test_cells_hold_mean_spread_and_what_was_reached(tmp_path: Path) -> None:
    page = report(ROWS, tmp_path / "results")
    assert (
        "dense 110.50 ± 0.35, the dense copy fine-tuned like the pruned ones 105.50 ± 0.71" in page
    )
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line[:2] == "| "}
    assert "| unstructured |  |  |  | 108.00 ± 1.41 |  |  |" in page
    assert "| blocks 4x4 |  |  |  | 117.00 (81.0 %) |  |  |" in page
    assert (
        "| *published: balanced, banks of 25* |  | *78.3* | *78.6* | *79.4* |  | *~81.6* |" in page
    )
    assert "| banks of 25 |  |  |  | 62.5 |  |  |" in page
    assert "| as trained | 107.10 |  |  | 107.60 (+0.50) |  |" in page
    assert "| ptb200 | 0 | 8 | 16 x 8 | 1,000 | 800,000 | 0 | 1234 |  |" in page
    assert lines["network"].endswith("| cycles a step | latency |")
    assert (tmp_path / "results" / "ptb200.svg").read_text().startswith("<?xml")


def test_one_bank_a_row_tells_where_the_gap_comes_from(tmp_path: Path) -> None:
    page = report([*ROWS, *tuned("1 bank", 0.8, [107.5])], tmp_path / "results")
    begin = page.index("### Where the gap comes from, at 80 %")
    lines = page[begin:].splitlines()[4:8]
    assert lines == [
        "| unstructured | 108.00 ± 1.41 |  |  |",
        "| 1 bank | 107.50 | 0.50 |  |",
        "| banks of 100 | 107.50 ± 0.71 | -0.50 ± 0.71 |  |",
        "| banks of 50 | 107.50 | 0.50 |  |",
    ]
    assert "### Where the gap" not in report(ROWS, tmp_path / "results")


def test_more_fine_tuning_has_a_table_of_its_own(tmp_path: Path) -> None:
    more = [
        *tuned("", 0.0, [100.0], times=4),
        *tuned("unstructured", 0.8, [101.0], times=4),
        *tuned("banks of 25", 0.8, [101.5], times=4),
    ]
    page = report([*ROWS, *more], tmp_path / "results")
    assert "| dense | 0 % | 105.00 | 100.00 |  |  |" in page
    assert "| unstructured | 80 % | 107.00 | 101.00 |  |  |" in page
    assert "| banks of 25 | 80 % | 107.10 | 101.50 | 0.10 | 0.50 |" in page
    assert "4 times" not in report(ROWS, tmp_path / "results")


def test_k_per_matrix_is_held_to_its_own_bounds() -> None:
    shared = [
        *tuned("unstructured, global", 0.8, [106.5, 108.5]),
        *tuned("banks of 25, global", 0.8, [107.4, 109.4]),
        *tuned("banks of 50, global", 0.8, [107.5, 109.5]),
    ]
    found = {line[0]: line[1:] for line in claims(Scores.of("ptb200", [*ROWS, *shared]))}
    assert found["banks of 25, global - unstructured at 80 %"] == [
        "at most 0.45",
        "0.40 ± 0.00",
        "yes",
    ]
    assert found["banks of 50, global - unstructured at 80 %"][2] == "**no**"
    free = found["banks of 25, global - unstructured, global at 80 %"]
    assert free == ["", "0.90 ± 0.00", ""]
    assert "largest - smallest of banks of 25, 50, 100, global, at 80 %" not in found


def test_ways_to_fine_tune_have_a_table(tmp_path: Path) -> None:
    ways = [
        *tuned("", 0.0, [101.0], times=2),
        *tuned("banks of 25", 0.8, [104.0], times=2),
        *tuned("banks of 25", 0.8, [103.5], times=2, way="cubic"),
        *tuned("banks of 25", 0.8, [103.9], times=2, way="decayed"),
    ]
    page = report([*ROWS, *ways], tmp_path / "results")
    begin = page.index("### Ways to fine-tune, 2 times as long")
    lines = page[begin:].splitlines()[4:6]
    assert lines == [
        "| dense | 0 % | 105.00 | 101.00 |  |  |  |",
        "| banks of 25 | 80 % | 107.10 | 104.00 | 103.50 |  | 103.90 |",
    ]
    assert "4 times" not in page


def test_every_pattern_has_a_curve(tmp_path: Path) -> None:
    rows = [row for name in PATTERNS for row in tuned(name, 0.8, [107.0])]
    report([*ROWS[:3], *tuned("", 0.0, [105.0]), *rows], tmp_path / "results")
    picture = (tmp_path / "results" / "ptb200.svg").read_text()
    assert [name for name in PATTERNS if f"<!-- {name} -->" not in picture] == []


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({}, "24.68 us on ulx3s at 50 MHz"),
        ({"fmax_mhz": 40.0}, "30.85 us on ulx3s at 40 MHz"),
        ({"case": "timit256"}, ""),
        ({"M": 8}, ""),
    ],
    ids=["the board's clock", "a clock that was missed", "another network", "another array"],
)
def test_a_bitstream_of_the_same_array_gives_a_latency(
    tmp_path: Path, changes: dict[str, Any], cell: str
) -> None:
    placed = {"case": "ptb200", "board": "ulx3s", "M": 16, "N": 8}
    placed |= {"fmax_mhz": 60.0, "clock_mhz": 50.0}
    assert f"| 1234 | {cell} |" in report(ROWS, tmp_path, [placed | changes])


def test_seeds_that_were_trained_in_bfloat16_are_named(tmp_path: Path) -> None:
    said = "Layers of seed 1 were trained in bfloat16"
    assert said not in report(ROWS, tmp_path)
    halved = row("dense", 1, test=90.0, precision="bfloat16")
    assert report([*ROWS, halved], tmp_path).count(said) == 1


def test_networks_that_were_not_run_are_empty(tmp_path: Path) -> None:
    page = report([], tmp_path)
    assert page.count("Not run yet.") == 7
    assert not list(tmp_path.iterdir())


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    pages = [report(ROWS, tmp_path / name) for name in "ab"]
    assert pages[0].replace("](a/", "](b/") == pages[1]
    pictures = [(tmp_path / name / "ptb200.svg").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_claims_compare_seed_by_seed() -> None:
    found = {line[0]: line[1:] for line in claims(Scores.of("ptb200", ROWS))}
    assert found["banks of 25 - unstructured at 80 %"] == ["at most 0.2", "0.15 ± 0.07", "yes"]
    assert found["banks of 50 - unstructured at 80 %"] == ["at most 0.2", "0.50", "**no**"]
    assert found["banks of 100 - unstructured at 80 %"][1:] == ["-0.50 ± 0.71", "yes"]
    assert found["blocks 4x4 - unstructured at 80 %"] == ["clearly above", "10.00", "yes"]
    assert "banks of 25 - unstructured at 60 %" not in found  # nothing was run there
    spread = "largest - smallest of banks of 25, 50, 100 at 80 %"
    assert found[spread] == ["at most 0.2", "0.50", "**no**"]  # of the seed that all have


def test_one_seed_has_no_spread() -> None:
    assert written([]) == ""
    assert written([2.0]) == "2.00"
    assert written([1.0, 3.0]) == "2.00 ± 1.41"


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.accuracy import report as accuracy_report

    results = tmp_path / "accuracy.json"
    named = [line | {"name": str(n)} for n, line in enumerate(ROWS)]
    write_record(results, "bench.accuracy.run", [0], named)
    accuracy_report.main(results, tmp_path / "page.md")
    assert "# Accuracy" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "page" / "ptb200.svg").exists()
    assert f"{len(ROWS)} rows" in capsys.readouterr().out

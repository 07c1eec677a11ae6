"""What the page on tuning says of the job layer and of the search."""

from __future__ import annotations

from .page import Page
from .results import ROOT, record, table

__all__ = ["TUNE"]


def _jobs() -> str:
    heads = "engine|tasks|each, s|all, s|shortest possible, s|overhead"
    lines = [heads.split("|")]
    for row in record("jobs")["rows"]:
        values = [str(row[n]) for n in ("engine", "tasks")] + [f"{row['seconds_each']:g}"]
        values += [f"{row[n]:.1f}" for n in ("seconds", "shortest")]
        lines.append([*values, f"{100 * row['overhead']:.1f} %"])
    return table(lines)


def _beside() -> str:
    lines = [["network", "board", "best array", "us", "`fit` names", "us", "faster"]]
    for row in record("enumeration")["rows"]:
        if row.get("fits"):
            pairs = (row["tuned"], f"{row['tuned_us']:.2f}", row["usual"], f"{row['usual_us']:.2f}")
            lines.append([row["network"], row["board"], *pairs, f"{100 * row['faster']:.0f} %"])
    return table(lines)


def _search() -> str:
    """Of every network, what each method reaches with a quarter of its trainings."""
    lines = [["network", "trainings", "method", "reached", "least of ten seeds", "won random",
              "won TPE"]]  # fmt: skip
    rows = record("tune")["rows"]
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network]
        most = max(row["trainings"] for row in mine)
        for row in (row for row in mine if row["trainings"] == most):
            won = [f"{row[f'seeds_won_{other}']} of {row['seeds']}" for other in ("random", "tpe")]
            won = [w if row["method"] not in (n, "random") else ""
                   for w, n in zip(won, ("random", "tpe"), strict=True)]  # fmt: skip
            shares = [f"{100 * row[name]:.1f} %" for name in ("hypervolume_share", "least")]
            lines.append([network, f"{most} of {row['choices']}", row["method"], *shares, *won])
    return table(lines)


def _end() -> str:
    """Beside arrays of people; what fits no array has no times."""
    lines = [["network", "board", "chosen", "routed by hand", "us", "listed by hand", "us", "tuned",
              "us", "takes", "faster than routed", "than listed"]]  # fmt: skip
    for row in (row for row in record("end")["rows"] if row["fits"]):
        arrays = [row[name] for name in ("routed", "listed", "tuned")]
        pairs = [t for a in arrays for t in (a.get("array", ""), f"{a['microseconds']:.2f}")]
        faster = [f"{100 * row[name]:.0f} %" for name in ("faster", "faster_than_listed")]
        chosen = row["chosen"] + (f": {row['pattern']}" if "pattern" in row else "")
        lines.append([row["network"], row["board"], chosen, *pairs,
                      f"{100 * row['tuned']['share']:.0f} %", *faster])  # fmt: skip
    return table(lines)


def _page() -> Page:
    space = record("enumeration")["rows"][0]
    local = record("jobs")["rows"][0]
    share = local["cpu_s_a_task"] / local["seconds_each"]
    return Page(
        ROOT / "docs/tune.md",
        (_jobs(), _beside(), _search(), _end()),
        (
            f"{space['designs']:,} designs of {space['networks']} networks took "
            f"{space['cpu_s']:.1f} s of a core, {space['a_second']:,} a second",
            f"A task costs {local['cpu_s_a_task']:.2f} s of a core, {100 * share:.1f} % of 10 s; "
            f"with a load of {local['load']:g} on the two cores it waited for them as others did",
        ),
        (
            "2,000 designs a second",
            "with up to 0.5 % more",
            "by hand (banks of 25 at 80 %)",
            "taken by 132 % at least",
            "came to 6.1 % mean error, a random forest on shapes to 11.3 %, FLOPs to 23.5 %",
            "Five seeds of one design spread by 6.5 %: a point cannot be better than 3 to 4 %",
            "an interval of 80 %",
            "after 14.4 evaluations, TPE after 20.5",
            "random after 30.5",
            "within 2 % of",
            "within 2 % of the exhaustive hypervolume",
            "block RAM exact in 95 %, at most one off or 4 %; LUT and flip-flops 5 % mean, "
            "15 % worst; clock 8 % mean, its interval right in 72 to 88 %; a CPU step within "
            "10 % in 90 %, never off by more than 25 %",
            "at most 5 % of the time of jobs over 10 s",
            "Slurm 22.05",
        ),
    )


TUNE = _page()

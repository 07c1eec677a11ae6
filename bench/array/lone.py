"""Where the cycles of a lone step go that no product takes: from the cycle model, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.array.latency import Latencies, projector_exact
from compiler.lower.plan import Plan
from compiler.timing.cycle_model import CycleModel

__all__ = ["beyond", "lone_table"]


def beyond(plan: Plan) -> dict[str, int]:
    """Cycles of a lone step of a layer with a projection by stage; they sum to the step exactly.

    Parameters
    ----------
    plan : Plan
        Of one program, whose results leave from projectors.

    Returns
    -------
    dict of str to int
        ``products`` first.
    """
    run, latencies = CycleModel(plan).run(1), Latencies(plan.design)
    found = {
        "products": sum(issue.end - issue.start + 1 for issue in run.issues),
        "the frame comes in": run.issues[0].idle,
        "waits between passes": sum(issue.idle for issue in run.issues[1:]),
        "the last row, through a PE": latencies.row - 1,  # its own cycle is one of products
        "projector": projector_exact(plan.design),
        "output buffer": latencies.output,
        "further beats of its slot": plan.design.results_per_slot - 1,
    }
    assert sum(found.values()) == int(run.frame_done[0] - run.frame_in[0])
    return found


def lone_table(plans: Sequence[tuple[str, Plan]]) -> str:
    """A column for each plan with its name."""
    columns = [beyond(plan) for _, plan in plans]
    lines = [
        f"| cycles of a lone step | {' | '.join(name for name, _ in plans)} |",
        "|---|" + "---:|" * len(plans),
    ]
    for stage in columns[0]:
        lines.append(f"| {stage} | {' | '.join(str(column[stage]) for column in columns)} |")
    rest = [sum(column.values()) - column["products"] for column in columns]
    lines.append(f"| beyond products | {' | '.join(map(str, rest))} |")
    total = (str(sum(column.values())) for column in columns)
    return "\n".join([*lines, f"| in all | {' | '.join(total)} |"])

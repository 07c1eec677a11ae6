"""What others published, with where it stands; the measured rows stand beside it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """Share of the multipliers that a published accelerator uses.

    Parameters
    ----------
    name, workload, source : str
    multipliers : int or None
    low, high : float
        Share, 0..1.
    batch : int
        Streams at a time.
    """

    name: str
    workload: str
    multipliers: int | None
    low: float
    high: float
    batch: int
    source: str


PUBLISHED = (
    Published(
        "BBS (FPGA'19)",
        "TIMIT LSTM step, 2,048 to 4,096 multipliers",
        4096,
        0.16,
        0.41,
        1,
        "derived from the published latency and throughput ratios; Cao et al., FPGA 2019",
    ),
    Published(
        "CSB-RNN (ICS'20)",
        "LSTM layers, 512 multipliers, from its latencies",
        512,
        0.87,
        0.91,
        1,
        "derived from Tables 1 to 3; Shi et al., ICS 2020",
    ),
    Published(
        "ESE (FPGA'17)",
        "LSTM, 1,024 PEs, 32 streams",
        1024,
        0.69,
        0.69,
        32,
        "derived from its abstract; Han et al., FPGA 2017",
    ),
    Published(
        "class projects",
        "sparse LSTM RTL found in public",
        None,
        0.13,
        0.17,
        1,
        "derived from their documents",
    ),
)

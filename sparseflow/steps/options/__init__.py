"""What every command can be told: its fields, their defaults, ranges and help, once.

The command line is derived from these classes (:mod:`sparseflow.commands.derived`), and what the
steps and the front door take by default is theirs.
"""

from __future__ import annotations

from .boards import (
    BoardsOptions,
    BuildOptions,
    CHeaderOptions,
    FitOptions,
    JobOptions,
    LoadOptions,
    SynthOptions,
    TimingOptions,
)
from .preparing import CutOptions, DoctorOptions, PackOptions, PruneOptions
from .regress import RegressOptions
from .said import Said
from .shared import SEED, ModelFile, Seed
from .simulating import (
    PLAIN,
    DemoOptions,
    IpOptions,
    ReportOptions,
    SimulateOptions,
    VerilogOptions,
    VowelsOptions,
)
from .training import TrainingOptions
from .tuning import (
    PredictBuildOptions,
    PredictCheckOptions,
    PredictOptions,
    StudyOptions,
    TuneOptions,
)
from .words import BudgetName, EngineName, Images, PoolName, Replayer, Simulator, TopName

__all__ = [
    "PLAIN",
    "SEED",
    "BoardsOptions",
    "BudgetName",
    "BuildOptions",
    "CHeaderOptions",
    "CutOptions",
    "DemoOptions",
    "DoctorOptions",
    "EngineName",
    "FitOptions",
    "Images",
    "IpOptions",
    "JobOptions",
    "LoadOptions",
    "ModelFile",
    "PackOptions",
    "PoolName",
    "PredictBuildOptions",
    "PredictCheckOptions",
    "PredictOptions",
    "PruneOptions",
    "RegressOptions",
    "Replayer",
    "ReportOptions",
    "Said",
    "Seed",
    "SimulateOptions",
    "Simulator",
    "StudyOptions",
    "SynthOptions",
    "TimingOptions",
    "TopName",
    "TrainingOptions",
    "TuneOptions",
    "VerilogOptions",
    "VowelsOptions",
]

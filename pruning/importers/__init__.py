"""Weights and masks of other tools' files, under torch's names, without running their code."""

from .imported import Imported, Reading, save_imported
from .model import import_model

__all__ = ["Imported", "Reading", "import_model", "save_imported"]

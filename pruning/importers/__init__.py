"""Weights and masks of other tools' files, under torch's names, without running their code."""

from .cut import Cut
from .imported import Imported, Reading, save_imported
from .model import import_model

__all__ = ["Cut", "Imported", "Reading", "import_model", "save_imported"]

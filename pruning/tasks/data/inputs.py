"""What a data file says of its frames: their scale, names of classes, how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays
from csb_format.files.claims import check_regular
from csb_format.inputs.scale import InputScale, ScaleError, check_label_names
from csb_format.inputs.sounds import SoundError, SoundFeatures

from .datasets import SequenceData
from .wrong_data import DataSetError

__all__ = [
    "FeatureMismatchError",
    "Inputs",
    "ScaleMismatchError",
    "check_same",
    "inputs_of",
    "joined",
    "scaled_as",
]

_NAMES = ("scale_mean", "scale_factor", "scaled", "label_names", "sound_features")
_SCALE = _NAMES[:3]


class ScaleMismatchError(DataSetError):
    """Frames that were scaled otherwise than the network's, or would be scaled twice."""


class FeatureMismatchError(DataSetError):
    """Frames that were made of sounds otherwise than the network's."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Of a data file, a checkpoint or a model.

    Parameters
    ----------
    scale : InputScale, optional
        That makes frames of raw features.
    scaled : bool, optional
        Whether the frames of a data file are scaled; None where there is no scale.
    label_names : tuple of str
    sounds : SoundFeatures, optional
        How frames were made of sounds.
    """

    scale: InputScale | None = None
    scaled: bool | None = None
    label_names: tuple[str, ...] = ()
    sounds: SoundFeatures | None = None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As a data file has them; nothing where nothing is known."""
        found: dict[str, npt.NDArray[Any]] = {}
        if self.scale is not None:
            found["scale_mean"], found["scale_factor"] = self.scale.mean, self.scale.factor
            found["scaled"] = np.array(bool(self.scaled))
        if self.label_names:
            found["label_names"] = np.array(self.label_names, np.str_)
        if self.sounds is not None:
            found["sound_features"] = np.array(self.sounds.text(), np.str_)
        return found

    def noted(self) -> dict[str, Any]:
        """For the metadata of a checkpoint: JSON keeps every bit of a float64."""
        found: dict[str, Any] = {}
        if self.scale is not None:
            found["scale"] = {n: getattr(self.scale, n).tolist() for n in ("mean", "factor")}
        found |= {"sounds": self.sounds.text()} if self.sounds else {}
        return found | ({"label_names": list(self.label_names)} if self.label_names else {})

    @classmethod
    def of_note(cls, noted: object, where: object) -> Inputs:
        """What :meth:`noted` gave; errors name the file.

        Raises
        ------
        DataSetError
            If it is something else.
        """
        try:
            about: dict[str, Any] = dict(noted)  # type: ignore[call-overload]
            scale = about.get("scale")
            made = (
                None
                if scale is None
                else InputScale(*(np.array(scale[n]) for n in ("mean", "factor")))
            )
            sounds = SoundFeatures.of(about["sounds"]) if "sounds" in about else None
            return cls(made, None, check_label_names(about.get("label_names", ())), sounds)
        except (KeyError, TypeError, ValueError) as error:
            raise DataSetError(f"{where}: damaged metadata of its inputs: prune again") from error


def inputs_of(path: Path) -> Inputs:
    """What an ``.npz`` of sequences says of its inputs.

    Raises
    ------
    DataSetError
        If it says so wrongly: a half of a scale, objects, names that are none.
    """
    check_regular(path)
    try:
        headers = array_headers(path)
        present = [name for name in _NAMES if name in headers]
        for name in present:
            _check_header(path, name, headers[name], headers)
        found = read_arrays(path, present)
        return _inputs(found)
    except DataSetError:
        raise
    except (ScaleError, SoundError, ArrayFileError, ValueError) as error:
        raise DataSetError(f"{path}: {error}") from error
    except OSError:
        raise
    except Exception as error:  # A damaged archive makes the reader fail in any way.
        raise DataSetError(f"{path} is no data file (.npz), or a damaged one") from error


def _check_header(path: Path, name: str, header: tuple[Any, tuple[int, ...]], all_: object) -> None:
    dtype, shape = header
    assert isinstance(all_, Mapping)
    missing = [n for n in _SCALE if n not in all_]
    if name in _SCALE and missing:
        raise DataSetError(
            f"{path} has {name} and no {missing[0]}: give {', '.join(_SCALE)} together, or none"
        )
    known = {"scaled": ("b", 0), "label_names": ("U", 1), "sound_features": ("U", 0)}
    kinds, axes = known.get(name, ("fiu", 1))
    if dtype.hasobject or dtype.kind not in kinds or len(shape) != axes:
        raise DataSetError(
            f"{path}: {name} is {dtype} of shape {shape}: sparseflow data writes it as it must be"
        )


def _inputs(found: Mapping[str, npt.NDArray[Any]]) -> Inputs:
    names = check_label_names(found["label_names"].tolist()) if "label_names" in found else ()
    sounds = SoundFeatures.of(str(found["sound_features"])) if "sound_features" in found else None
    if "scaled" not in found:
        return Inputs(None, None, names, sounds)
    scale = InputScale(found["scale_mean"], found["scale_factor"])
    return Inputs(scale, bool(found["scaled"]), names, sounds)


def scaled_as(
    data: SequenceData, of: Inputs, other: Inputs | None, where: object, what: object
) -> tuple[SequenceData, list[str]]:
    """Frames as the network takes them; scaled here where they are raw, and never twice.

    Parameters
    ----------
    data : SequenceData
    of : Inputs
        What its file says.
    other : Inputs or None
        What the model knows, or the data it was trained on; None where this data alone tells.
    where, what : object
        The data's file, and what the other is, for messages.

    Returns
    -------
    SequenceData, list of str
        And what was done, in words.

    Raises
    ------
    ScaleMismatchError
        If both have scales or names, and others, or raw frames meet no scale.
    FeatureMismatchError
        If both say how they were made of sounds, and otherwise.
    """
    if of.scale is not None and len(of.scale) != data.width:
        raise DataSetError(f"{where}: a scale of {len(of.scale)} inputs, frames of {data.width}")
    if other is not None:
        check_same(of, other, where, what)
    if of.scale is None:
        told = f"note: {where} does not say whether its frames are scaled: taken as scaled"
        return data, [told] * (other is not None and other.scale is not None)
    if of.scaled:
        told = (
            f"note: {where} is scaled, and {what} knows no scale: taken as trained on such frames"
        )
        return data, [told] * (other is not None and other.scale is None)
    frames = tuple(of.scale.apply(sequence) for sequence in data.sequences)
    return replace(data, sequences=frames), [f"{where}: raw frames, scaled by the scale in it"]


def check_same(of: Inputs, other: Inputs, where: object, what: object) -> None:
    """Refuse data that another network was trained on.

    Raises
    ------
    ScaleMismatchError, FeatureMismatchError
        With the mend.
    """
    if of.sounds and other.sounds and of.sounds != other.sounds:
        raise FeatureMismatchError(
            f"{where} has {of.sounds}, {what} {other.sounds}: make it with --like the training data"
        )
    if of.scale is not None and other.scale is None and not of.scaled:
        raise ScaleMismatchError(
            f"{where} has raw frames and a scale, and {what} knows no scale: pack with this data "
            "as --calibration, or write it without --raw"
        )
    if of.scale is not None and other.scale is not None and not of.scale.equals(other.scale):
        raise ScaleMismatchError(
            f"{where} has another scale than {what}: write it with --like the training data, so "
            "that both have the same"
        )
    if of.label_names and other.label_names and of.label_names != other.label_names:
        raise ScaleMismatchError(
            f"{where} has the classes {', '.join(of.label_names[:8])}, {what} "
            f"{', '.join(other.label_names[:8])}: write it with --like the training data"
        )


def joined(data: Inputs, noted: Inputs | None, where: object, what: object) -> Inputs:
    """What a model is to know: of the calibration data, and of the checkpoint that was pruned.

    Parameters
    ----------
    data : Inputs
    noted : Inputs or None
        Of the checkpoint; None where it does not come from ``prune``, and data alone tells.
    where, what : object
        Both files, for messages.

    Raises
    ------
    ScaleMismatchError
        If they differ.
    """
    if noted is None:
        return data
    if data.scale is not None and noted.scale is None:
        raise ScaleMismatchError(
            f"{where} has a scale, and {what} was pruned on data without one: give data like that"
        )
    check_same(data, noted, where, what)
    names, sounds = noted.label_names or data.label_names, noted.sounds or data.sounds
    return Inputs(noted.scale, None, names, sounds)

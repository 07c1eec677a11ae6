"""What can be exported to the accelerator, and the error for everything else."""

from __future__ import annotations

from torch import nn

__all__ = ["UnsupportedLayerError", "check_lstm"]


class UnsupportedLayerError(ValueError):
    """A layer that torch can train and the accelerator cannot run."""


def check_lstm(lstm: nn.LSTM) -> None:
    """Refuse every option of ``nn.LSTM`` that the accelerator does not have.

    ``batch_first`` and ``dropout`` change nothing in a single layer at inference, and
    ``bias=False`` is taken as zeros.

    Raises
    ------
    UnsupportedLayerError
        Naming the option, its value and the mend.
    """
    if not isinstance(lstm, nn.LSTM):
        raise UnsupportedLayerError(
            f"layer of type {type(lstm).__name__}: train torch.nn.LSTM, the only cell supported"
        )
    if lstm.num_layers != 1:
        raise UnsupportedLayerError(
            f"num_layers={lstm.num_layers}: only one layer is supported, train with num_layers=1"
        )
    if lstm.bidirectional:
        raise UnsupportedLayerError(
            "bidirectional=True: the accelerator sees frames as they come, "
            "train with bidirectional=False"
        )
    if lstm.proj_size:
        raise UnsupportedLayerError(
            f"proj_size={lstm.proj_size}: projections are not supported, train with proj_size=0"
        )

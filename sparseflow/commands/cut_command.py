"""The command ``sparseflow cut``."""

from __future__ import annotations

from csb_format.files.cutfile import NAMES

from ..steps.options import CutOptions
from .derived import derived
from .hints import hint

__all__ = ["cut"]


@derived(CutOptions)
def cut(given: CutOptions) -> None:
    """Cut the array's part out of a larger ONNX network; the rest runs on the host.

    **In:** an ONNX model of the whole network (`torch.onnx.export(model.eval(), ...)`) and data: an
    `.npz` with an array for each of its inputs. **Out:** a folder with `before.onnx`, the part
    (`part.onnx`, and its integers `model.safetensors`), `after.onnx`, and what `sf.Hosted` needs to
    run them as one. Printed is how far the three are from the whole, in floats and with the part in
    integers.

    **Next:** `sparseflow verilog OUT/model.safetensors --out build/verilog`
    """
    from ..steps.cutting.cut import cut as run

    run(
        model=given.model,
        data=given.data,
        out=given.out,
        source=given.source,
        targets=given.targets or (),
        banks=given.banks,
        value_bits=given.value_bits,
        act_bits=given.act_bits,
    )
    if (given.out / NAMES["model"]).is_file():
        hint("verilog", given.out / NAMES["model"], "--out", given.out.with_name("verilog"))

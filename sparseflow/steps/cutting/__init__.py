"""The array's part of a larger ONNX graph: cut out, packed, checked against the whole."""

"""What others printed, to stand beside our rows.

Read off the slides of Yao, Cao et al., "Balanced Sparsity for Efficient DNN Inference on GPU"
(AAAI'19, ``AAAI-Balanced-Sparsity.pdf`` in the repository Howal/balanced-sparsity), by the
group of the FPGA'19 paper and with the same networks; those marked ~ are read off a plot.
"""

from __future__ import annotations

__all__ = ["PTB1500", "TIMIT"]

#: Test perplexity, 2 x 1,500 units, by pattern and sparsity.
PTB1500: dict[str, dict[float, str]] = {
    "dense": {0.0: "~78.8"},
    "balanced, banks of 25": {0.6: "78.3", 0.7: "78.6", 0.8: "79.4", 0.9: "~81.6"},
    "balanced, banks of 50": {0.6: "78.4", 0.7: "78.7", 0.8: "79.2"},
    "balanced, banks of 100": {0.6: "78.4", 0.7: "78.6", 0.8: "79.2"},
    "blocks 4x4": {0.6: "80.6", 0.7: "83.2", 0.8: "88.1"},
    "blocks 8x8": {0.6: "82.4", 0.7: "86.4", 0.8: "95.2"},
    "blocks 16x16": {0.6: "83.7", 0.7: "88.3", 0.8: "99.5"},
    "unstructured": {0.9: "~81.6"},
}

#: Phone error rate in percent, a bidirectional CTC network of 1,024 units on all of TIMIT.
TIMIT: dict[str, dict[float, str]] = {
    "dense": {0.0: "~23.5"},
    "balanced": {0.9: "~23.7"},
    "unstructured": {0.9: "~23.7"},
    "blocks": {0.9: "~26.6"},
}

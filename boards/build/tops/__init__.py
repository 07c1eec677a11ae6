"""The tops in which an accelerator is delivered, and what lies beside each."""

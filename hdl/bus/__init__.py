"""The accelerator on AXI4-Lite and AXI4-Stream."""

"""The accelerator without buses: array, lanes, controller."""

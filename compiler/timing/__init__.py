"""When everything happens, to the cycle, and why."""

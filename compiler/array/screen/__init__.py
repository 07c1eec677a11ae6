"""The screen unit behind an array: its sizes, how long its ways are, which models get one."""

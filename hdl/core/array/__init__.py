"""What :class:`~hdl.core.core.Core` joins: memories, PEs, takers of their sums, the write port."""

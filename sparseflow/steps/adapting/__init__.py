"""The commands ``sparseflow data from-...``: from files that people have to data files."""

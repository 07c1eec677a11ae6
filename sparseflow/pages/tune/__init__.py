"""Pages of studies and searches."""

"""Cells of a design before any synthesis: from its structure, and as counts have taught."""

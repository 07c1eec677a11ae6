"""A simulation step by step: its parts in time, and what runs beside it."""

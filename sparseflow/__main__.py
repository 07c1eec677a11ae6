"""``python -m sparseflow``."""

from .cli import main

main()

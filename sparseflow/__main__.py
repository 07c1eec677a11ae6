"""``python -m sparseflow``."""

from .commands.cli import main

main()

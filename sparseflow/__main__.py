"""``python -m sparseflow``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # The folder where it is started says nothing of the program: as with the script `sparseflow`,
    # a file of the user's in it hides no package.
    if not sys.flags.safe_path:
        del sys.path[0]
    if (ours := str(Path(__file__).parents[1])) not in sys.path:
        sys.path.append(ours)

    from .commands.cli import main

    main()

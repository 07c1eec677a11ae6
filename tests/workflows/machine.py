"""A machine like the hosted ones: an ordinary user, few tools, `sudo` and `apt-get` that refuse."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PACKAGES: dict[str, Any] = tomllib.loads((HERE / "packages.toml").read_text("utf-8"))
NOBODY = 65534
OTHER = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# Where Python lies below a folder that is root's alone: root's files, under another number and
# without any of root's rights.
RENAMED = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


@functools.cache
def ordinary() -> list[str]:
    """What a command begins with so that an ordinary user runs it."""
    if os.geteuid() != 0:
        return []
    # by way of a shell: what setpriv itself starts is still found with root's rights
    program = ["bash", "-c", '"$0" -c "import os; assert os.geteuid()"', sys.executable]
    for words in (OTHER, RENAMED):
        done = subprocess.run([*words, *program], capture_output=True, check=False)
        if done.returncode == 0:
            return [shutil.which(words[0]) or words[0], *words[1:]]
    pytest.fail("neither setpriv nor unshare (apt-get install util-linux) starts Python as a user")


def _root() -> list[str]:
    """What a command begins with so that it believes itself root."""
    return [] if os.geteuid() == 0 else [shutil.which("unshare") or "unshare", "--map-root-user"]


SUDO = """#!/bin/bash
# Another user's environment, as sudo gives it: nothing of the caller's is left.
echo "sudo $*" >> {asked}
[[ {passwordless} == yes ]] || {{ echo "sudo: a password is required" >&2; exit 1; }}
[[ ${{1:-}} == -n ]] && shift
exec env -i PATH="$PATH" AS_ROOT=yes "$@"
"""

APT_GET = """#!/bin/bash
echo "apt-get $*" >> {asked}
if [[ ${{AS_ROOT:-}} != yes ]]; then
    echo "E: Could not open lock file /var/lib/dpkg/lock - open (13: Permission denied)" >&2
    exit 100
fi
verb= yes=
for word; do
    case $word in
        update) touch {lists}; exit 0 ;;
        install) verb=install ;;
        -y) yes=yes ;;
        --no-install-recommends) ;;
        -*) echo "E: Command line option $word is not understood" >&2; exit 100 ;;
        *) packages+=("$word") ;;
    esac
done
[[ $verb == install ]] || {{ echo "E: Invalid operation" >&2; exit 100; }}
[[ $yes == yes ]] || {{ echo "Do you want to continue? [Y/n] Abort." >&2; exit 1; }}
for package in "${{packages[@]}}"; do
    if [[ ! -e {lists} || ! -e {known}/$package ]]; then
        echo "E: Unable to locate package $package" >&2
        exit 100
    fi
    for name in $(cat "{known}/$package"); do ln -sf "{from_}/$name" "{tools}/$name"; done
done
"""


@dataclass(frozen=True)
class Machine:
    """A fresh one below a folder: home, tools, and what was asked of its package manager."""

    root: Path
    image: str = "ubuntu-24.04"
    passwordless: bool = True
    user: str = "runner"  # or root, as in a container without sudo

    @property
    def tools(self) -> Path:
        return self.root / "tools"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def workspace(self) -> Path:
        return self.root / "work"

    @property
    def asked(self) -> list[str]:
        """What `sudo` and `apt-get` were called with."""
        log = self.root / "asked"
        return log.read_text("utf-8").splitlines() if log.exists() else []

    def start(self) -> Machine:
        for folder in (self.tools, self.home, self.workspace, self.root / "known"):
            folder.mkdir(parents=True)
        self._link_tools()
        for package, row in PACKAGES.items():
            if self.image in row:
                (self.root / "known" / package).write_text(" ".join(row["commands"]))
        if self.user == "root":
            (self.tools / "sudo").unlink(missing_ok=True)
        else:
            self._stand_in("sudo", SUDO)
        self._stand_in("apt-get", APT_GET)
        self.give(self.root)
        return self

    def _link_tools(self) -> None:
        """All commands of this machine but Python and those that the image lacks."""
        lacking = {c for row in PACKAGES.values() if not row["hosted"] for c in row["commands"]}
        for path in Path("/usr/bin").iterdir():
            if path.name not in lacking and not path.name.startswith(
                ("python", "pip", "verilator")
            ):
                (self.tools / path.name).symlink_to(path)

    def _stand_in(self, name: str, text: str) -> None:
        places = {name: self.root / name for name in ("asked", "lists", "known", "tools")}
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(text.format(
            passwordless="yes" if self.passwordless else "no", from_="/usr/bin", **places
        ))  # fmt: skip
        path.chmod(0o755)

    def give(self, path: Path) -> None:
        """Hand a file or a tree to the ordinary user."""
        if self.user != "root" and f"--reuid={NOBODY}" in ordinary():
            subprocess.run(["chown", "-Rh", f"{NOBODY}:{NOBODY}", str(path)], check=True)

    def set_up_python(self) -> str:
        """Put the Python of these tests on PATH, as an action does; its version."""
        for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
            (self.tools / name).unlink(missing_ok=True)
            (self.tools / name).write_text(f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
            (self.tools / name).chmod(0o755)
        return ".".join(str(part) for part in sys.version_info[:3])

    def run(
        self, words: list[str], env: dict[str, str], limit: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run as the machine's user, with this environment and no other."""
        base = {"HOME": str(self.home), "PATH": str(self.tools), "LANG": "C.UTF-8", "CI": "true"}
        if self.user == "root":
            base["AS_ROOT"] = "yes"
        who = ordinary() if self.user != "root" else _root()
        return subprocess.run(
            [*who, *words], cwd=self.workspace, env=base | {"USER": self.user} | env,
            capture_output=True, text=True, check=False, timeout=limit,
        )  # fmt: skip

"""The documentation site: the guides of this folder, and a reference made from docstrings.

``make docs`` builds it into ``build/docs``. Nothing is fetched: there is no intersphinx, names of
other projects are only set in code type. Names of ours must resolve, or the build fails.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the checkout's modules, wherever one starts it

import sparseflow  # noqa: E402  (after the path)
from docs import accessible, reference  # noqa: E402

project = "Sparseflow"
author = "the Sparseflow maintainers"
version = release = sparseflow.__version__

extensions = [
    "myst_parser",  # guides in Markdown, readable on GitHub too
    "sphinx.ext.autodoc",
    "numpydoc",  # the form of our docstrings
    "sphinx_copybutton",
]
nitpicky = True  # a name that leads nowhere is an error
nitpick_ignore_regex = [("py:class", r"(collections\.abc|numpy)\..*")]  # in aliases

myst_heading_anchors = 4  # links to headings, as GitHub makes them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes, dtypes and units, which a type cannot
add_module_names = False
numpydoc_show_class_members = False  # autodoc lists them

html_theme = "furo"
html_title = f"Sparseflow {release}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False

reference.write(HERE.parent, HERE / "reference")


# The hook below renames it for the page; numpydoc's look at signatures comes too early for that.
warnings.filterwarnings("ignore", "Unknown section Members")


def _members_are_attributes(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Amaranth's section ``Members``, ports of a component, under a name that numpydoc knows."""
    for at, underline in enumerate(lines[1:]):
        if lines[at].strip() == "Members" and set(underline.strip()) == {"-"}:
            lines[at : at + 2] = ["Attributes", "----------"]


def _own_signature(
    app: object, what: str, name: str, obj: Any, options: object, signature: str, returns: str
) -> tuple[str, str] | None:
    """Of a component's ``__init__``: Amaranth's metaclass hides it."""
    if what != "class" or "src_loc_at" not in (signature or ""):
        return None
    found = list(inspect.signature(obj.__init__).parameters.values())[1:]
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in found]
    return str(inspect.Signature(plain)), returns


def _finish(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        accessible.finish_all(Path(app.outdir))


def setup(app: Any) -> None:
    """Let us see docstrings before numpydoc does, and pages after the theme."""
    app.connect("build-finished", _finish)
    app.connect("autodoc-process-signature", _own_signature)
    app.connect("autodoc-process-docstring", _members_are_attributes, priority=400)

"""The verdict of a regression as a badge: a small picture that needs nothing else."""

from __future__ import annotations

from html import escape

from sim.regress.jobs.verdicts import Run

__all__ = ["badge"]

GREEN, RED, GREY = "#1a7f37", "#b3261e", "#57606a"
LETTER, PAD, HEIGHT = 6.6, 10, 20  # units of the picture; of 11 point text
LONGEST = 40


def badge(run: Run) -> str:
    """An SVG picture with the suite's name and how many of its cases passed.

    Parameters
    ----------
    run : Run
    """
    passed, cases = len(run.results) - len(run.failed), len(run.results)
    said = f"{passed} of {cases} passed"
    said += f", {len(run.gone)} gone" if run.gone else ""
    said += f", {len(run.flaky)} flaky" if run.flaky else ""
    colour = GREY if run.passed and not run.gated else GREEN if run.passed else RED
    said += "" if run.gated else ", no baseline"
    name = run.suite if len(run.suite) <= LONGEST else f"{run.suite[: LONGEST - 3]}..."
    return _drawn(name, said, colour)


def _drawn(name: str, said: str, colour: str) -> str:
    left, right = (round(LETTER * len(text) + 2 * PAD) for text in (name, said))
    title = f"{escape(name)}: {escape(said)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" '
        f'role="img" aria-label="{title}">\n<title>{title}</title>\n'
        f'<clipPath id="round"><rect width="{left + right}" height="{HEIGHT}" rx="3"/></clipPath>\n'
        f'<g clip-path="url(#round)"><rect width="{left}" height="{HEIGHT}" fill="#3b434b"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{colour}"/></g>\n'
        f'<g fill="#fff" text-anchor="middle" font-size="11" '
        f'font-family="DejaVu Sans,Verdana,sans-serif">\n'
        f"{_text(name, left / 2, left)}{_text(said, left + right / 2, right)}</g>\n</svg>\n"
    )


def _text(text: str, middle: float, width: int) -> str:
    """A text that fills its field in whatever font there is."""
    return (
        f'<text x="{middle:g}" y="14" textLength="{width - 2 * PAD}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>\n'
    )

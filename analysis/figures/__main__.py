"""`python -m analysis.figures` updates the list in docs/figures.md."""

from __future__ import annotations

from pathlib import Path

from analysis.figures import listing

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"
START, END = "<!-- begin: python -m analysis.figures -->\n", "<!-- end -->\n"


def updated(page: str) -> str:
    """The text of the page, with the list between its two marks replaced by the present one."""
    head, _, rest = page.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}{listing()}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""Reads a page as a browser would, as far as tests ask: elements, text, and whether tags close."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


@dataclass
class Element:
    tag: str
    attrs: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = [part if isinstance(part, str) else part.text for part in self.children]
        return " ".join("".join(parts).split())

    def all(self, tag: str | None = None, **attrs: str) -> list[Element]:
        """Descendants, in the order of the page; `class_` asks for one of the classes."""
        wanted = attrs.pop("class_", None)
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            fits = tag in (None, child.tag) and attrs.items() <= child.attrs.items()
            if fits and (wanted is None or wanted in (child.attrs.get("class") or "").split()):
                found.append(child)
            found += child.all(tag, **attrs, **({} if wanted is None else {"class_": wanted}))
        return found

    def one(self, tag: str | None = None, **attrs: str) -> Element:
        (found,) = self.all(tag, **attrs)
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """The page's elements. Fails on a tag that is not closed in its turn."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root], f"<{builder.open[-1].tag}> is not closed"
    return builder.root


def table(page: Element, title: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table under this title."""
    for box in page.all("table"):
        (heading,) = page.all(id=box.attrs["aria-labelledby"] or "")
        if heading.text == title:
            head, body = (
                [
                    [cell.text for cell in row.children if not isinstance(cell, str)]
                    for row in box.one(part).all("tr")
                ]
                for part in ("thead", "tbody")
            )
            return head[-1], body  # above the headings may stand those of groups
    raise AssertionError(f"no table '{title}'")

"""An HTML page as a reader without eyes takes it: its elements, in order, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input"}


@dataclass(eq=False)
class Element:
    """One element, and those within it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parts: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that is written within it, spaces joined."""
        return " ".join("".join(self._texts()).split())

    def all(self, *tags: str) -> list[Element]:
        """Return the elements within it that have one of these tags, or all, in order."""
        return [
            element
            for element in self._elements()
            if not tags or element.tag in tags
        ]

    def one(self, tag: str) -> Element:
        """Return the only element within it that has a tag."""
        (element,) = self.all(tag)
        return element

    def _elements(self) -> Iterator[Element]:
        for part in self.parts:
            if isinstance(part, Element):
                yield part
                yield from part._elements()

    def _texts(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            elif part.tag not in ("style", "title", "desc"):
                yield from part._texts()
                yield " "


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("page")]

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), (
            f"{tag} has an attribute twice: {attrs}"
        )
        self.open[-1].parts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read_page(html: bytes) -> Element:
    """Return a page's elements; each that is opened must be closed, in order."""
    reader = _Reader()
    reader.feed(html.decode("utf-8"))
    reader.close()
    (page,) = reader.open
    return page


def errors_on(page: Element) -> list[Element]:
    """Return the paragraphs of a page that tell an error."""
    return [
        paragraph
        for paragraph in page.all("p")
        if paragraph.attributes.get("class") == "error"
    ]

"""Those who use the pages in the tests: by mouse, by keys alone, and looking for faults."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from ui.views import assert_finished

MAX_TABS = 250


class Mouse:
    """Somebody who clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, what: Locator) -> None:
        """Press a link, a button or a box."""
        what.click()

    def enter(self, what: Locator, text: str) -> None:
        """Type into a field."""
        what.click()
        self.page.keyboard.type(text)

    def clear(self, what: Locator) -> None:
        """Empty a field."""
        what.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")

    def look(self) -> None:
        """Look at a page."""


class Keys(Mouse):
    """Somebody who has a keyboard alone."""

    def press(self, what: Locator) -> None:
        self._reach(what)
        is_link = what.evaluate("it => it.localName === 'a'")
        self.page.keyboard.press("Enter" if is_link else "Space")

    def enter(self, what: Locator, text: str) -> None:
        self._reach(what)
        self.page.keyboard.type(text)

    def clear(self, what: Locator) -> None:
        self._reach(what)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")

    def _reach(self, what: Locator) -> None:
        target = what.element_handle()
        for _ in range(MAX_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(
                "wanted => document.activeElement === wanted", target
            ):
                return
        raise AssertionError(f"no key leads to {what}")


class Judge(Mouse):
    """Somebody who looks for faults of each page, which stands still for that."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        page.route("**/progress.js*", lambda route: route.abort())

    def look(self) -> None:
        assert_finished(self.page)

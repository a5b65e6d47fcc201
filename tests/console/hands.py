"""Three ways to use the console: with a mouse, by the keyboard alone, and with a mouse where the browser runs
no script. Each does the same acts by the names that a person reads.
"""

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error, Locator, Page

from console import browser

MAIN = "main"
# Tabs from one act to the next. The first stop of a page leads over its frame.
TABS_MAX = 25
OPTIONS_MAX = 20
SEEN_SECONDS = 10
# What is seen by loading the page again, where nothing does that by itself.
RELOAD_SECONDS = 1.0

# Whether an element has the focus, or stands before what has it.
_PLACE = """(element) => {
  const active = document.activeElement;
  return {
    here: element === active,
    back: active !== document.body && !!(element.compareDocumentPosition(active) & 4),
  };
}"""
# Whether what has the focus leads over something, and the element is behind that.
_IS_BEHIND = """(element) => {
  const skip = document.activeElement?.closest('a.skip');
  const end = skip && document.getElementById(skip.hash.slice(1));
  return !!end && (end.contains(element) || !!(end.compareDocumentPosition(element) & 4));
}"""
_CHOSEN = "(element) => element.selectedOptions[0]?.label"


class Mouse:
    """A person with a mouse, who sees pages change by themselves."""

    name = "mouse"
    options: dict = {"permissions": ["clipboard-read", "clipboard-write"]}
    scripted = True

    def __init__(self, page: Page):
        self.page = page

    def open(self, address: str) -> int:
        """Types an address; the status of its page."""
        answer = self.page.goto(address)
        return answer.status if answer else 0

    def named(self, name: str, within: str = MAIN) -> Locator:
        """A link or a button."""
        place = self.page.locator(within)
        link, button = (place.get_by_role(role, name=name, exact=True) for role in ("link", "button"))
        return link.or_(button).locator("visible=true")

    def field(self, label: str, within: str = MAIN) -> Locator:
        """A field by its label, which stands around it."""
        own_text = f'label[normalize-space(text()[1])="{label}"]'
        field = "*[self::input or self::select or self::textarea]"
        return self.page.locator(within).locator(f"xpath=.//{own_text}//{field}").locator("visible=true")

    def press(self, name: str, within: str = MAIN) -> None:
        """Follows a link or presses a button."""
        self._act(self.named(name, within))

    def write(self, label: str, text: str, within: str = MAIN) -> None:
        """Writes into a field."""
        self.field(label, within).click()
        self._replace(text)

    def search(self, text: str) -> None:
        """Looks for a device by the search of the frame."""
        self.page.locator("#search").click()
        self._replace(text)
        self.page.keyboard.press("Enter")

    def choose(self, label: str, option: str, within: str = MAIN) -> None:
        """Chooses an option."""
        self.field(label, within).select_option(label=option)

    def attach(self, label: str, file: Path, within: str = MAIN) -> None:
        """Chooses a file."""
        self._attach(file, lambda: self.field(label, within).click())

    def download(self, name: str) -> str:
        """Presses what hands a file over; the file."""
        with self.page.expect_download() as coming:
            self.press(name)
        return coming.value.path().read_text()

    def copy(self, scope: str) -> str | None:
        """Presses the button that copies; what is on the clipboard then."""
        self.page.wait_for_load_state()
        self._act(self.named("Copy", scope))
        return self.page.evaluate("navigator.clipboard.readText()")

    def sees(self, text: str, within: str = MAIN) -> None:
        """Waits until the text is there, and does nothing for it."""
        try:
            self.at(text, within).wait_for(timeout=1000 * SEEN_SECONDS)
        except Error as error:
            raise self._unseen(text) from error

    def at(self, text: str, within: str = MAIN) -> Locator:
        """The first element that is seen with this text in it."""
        return self.page.locator(within).get_by_text(text).locator("visible=true").first

    def _unseen(self, text: str) -> AssertionError:
        shown = self.page.locator("body").inner_text()
        return AssertionError(f"{self.page.url} does not say {text!r} in time; it says:\n{shown[:1500]}")

    def _act(self, target: Locator) -> None:
        target.click()

    def _replace(self, text: str) -> None:
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def _attach(self, file: Path, ask: Callable[[], None]) -> None:
        with self.page.expect_file_chooser() as chooser:
            ask()
        chooser.value.set_files(file)


class Plain(Mouse):
    """A person whose browser runs no script: what is new is seen by loading the page again, unless the page
    does that by itself.
    """

    name = "no script"
    options: dict = {"java_script_enabled": False}
    scripted = False

    def __init__(self, page: Page):
        super().__init__(page)
        self.reloads = 0

    def copy(self, scope: str) -> str | None:
        """There is no button: a text is marked by a click on it."""
        button = self.page.locator(scope).locator("button.copy")
        assert not button.is_visible(), f"a button in {scope} is seen, and does nothing"
        return None

    def sees(self, text: str, within: str = MAIN) -> None:
        """Waits until the text is there."""
        deadline = time.monotonic() + 2 * SEEN_SECONDS
        target = self.at(text, within)
        while not target.is_visible():
            if time.monotonic() > deadline:
                raise self._unseen(text)
            self.page.wait_for_timeout(1000 * RELOAD_SECONDS)
            if target.is_visible():
                break
            if self.page.locator('head meta[http-equiv="refresh"]').count() == 0:
                self.page.reload()
                self.reloads += 1


class Keyboard(Mouse):
    """A person without a mouse: Tab and Shift+Tab, Enter, Space, arrows and letters."""

    name = "keyboard"

    def __init__(self, page: Page):
        super().__init__(page)
        self.stops, self.faults = 0, set()
        # The most tabs to an act, and to which.
        self.farthest = (0, "")

    def write(self, label: str, text: str, within: str = MAIN) -> None:
        """Writes into a field."""
        self._reach(self.field(label, within))
        self._replace(text)

    def search(self, text: str) -> None:
        """By the key that leads to the search from everywhere."""
        self._leave_fields()
        self.page.keyboard.press("/")
        focused = browser.focus(self.page)
        assert focused and "Search devices" in focused["element"], f"/ leads to {focused}"
        self._replace(text)
        self.page.keyboard.press("Enter")

    def choose(self, label: str, option: str, within: str = MAIN) -> None:
        """Chooses an option by the arrows."""
        field = self.field(label, within)
        self._reach(field)
        for key in ["ArrowDown"] * OPTIONS_MAX + ["ArrowUp"] * OPTIONS_MAX:
            if field.evaluate(_CHOSEN) == option:
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"{label} has no option {option!r} that the arrows reach")

    def attach(self, label: str, file: Path, within: str = MAIN) -> None:
        """Chooses a file: Enter on the field asks for one."""
        self._reach(self.field(label, within))
        self._attach(file, lambda: self.page.keyboard.press("Enter"))

    def go(self, letter: str) -> None:
        """To a page by g and its letter."""
        self._leave_fields()
        before = self.page.url
        self.page.keyboard.press("g")
        self.page.keyboard.press(letter)
        self.page.wait_for_url(lambda url: url != before)

    def _leave_fields(self):
        # Letters are written where a field has the focus, and are read once the page's module has come.
        self.page.wait_for_load_state()
        self.page.keyboard.press("Escape")

    def _act(self, target: Locator) -> None:
        self._reach(target)
        is_button = target.evaluate("(element) => element.localName") == "button"
        self.page.keyboard.press("Space" if is_button else "Enter")

    def _reach(self, target: Locator) -> None:
        """Tabs to it, forwards or back, and looks at each stop whether the focus is seen."""
        target.wait_for()
        begin = browser.focus(self.page)
        tabs = 0
        while not (place := target.evaluate(_PLACE))["here"]:
            if tabs >= TABS_MAX:
                raise AssertionError(
                    f"{self.page.url}: {self._name(target)} is not reached in {TABS_MAX} tabs from {begin}"
                )
            self._tab("Shift+Tab" if place["back"] else "Tab")
            tabs += 1
            self._skip(target)
        self.farthest = max(self.farthest, (tabs, f"{self._name(target)} of {self.page.url}"))

    def _tab(self, key):
        self.page.keyboard.press(key)
        focused = browser.focus(self.page)
        if focused is None:
            return
        self.stops += 1
        if fault := browser.unseen(focused):
            self.faults.add(f"{self.page.url}: {fault}")

    def _skip(self, target):
        """Takes a way over the frame, or over a list, where that leads nearer."""
        if target.evaluate(_IS_BEHIND):
            self.page.keyboard.press("Enter")

    @staticmethod
    def _name(target):
        return target.evaluate("(element) => element.innerText || element.name || element.localName")

"""The browser: logs in as each of the world's people, opens a page, looks at it, and takes its pictures."""

from pathlib import Path

from playwright.sync_api import sync_playwright

from shots.pages import Page, Picture
from shots.worlds import World

CHROMIUM = "/usr/bin/chromium"
SIZES = ((1440, 900), (390, 844))
THEMES = ("light", "dark")
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
# A zone with a name, so that times show theirs.
ZONE = "Europe/Berlin"
PASSWORD = "wax lantern orbit thirteen"
ARGUMENTS = ("--no-sandbox", "--force-color-profile=srgb", "--font-render-hinting=none")

# What sticks out of the window, and is not within something that is scrolled sideways on purpose.
STICKING_OUT = """() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide <= 0) return [];
  const scrolled = (element) => {
    for (let box = element.parentElement; box; box = box.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(box).overflowX)) return true;
    return false;
  };
  const out = [...document.body.querySelectorAll("*")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1 && !scrolled(element));
  return [`${wide} pixels wider than its window of ${innerWidth}`, ...out.slice(0, 5).map((element) =>
    `  ${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 60)}`)];
}"""


class Camera:
    """Takes pictures of one world, with a browser for each of its people."""

    def __init__(self, world: World, language: str):
        self._world, self._language = world, language
        self._people = {}

    def __enter__(self):
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        return self

    def __exit__(self, *_):
        self._browser.close()
        self._playwright.stop()

    def take(self, page: Page, folder: Path) -> list[str]:
        """Four pictures of a page; returns what is wrong with it."""
        folder.mkdir(parents=True, exist_ok=True)
        tab, faults = self._open(page)
        for width, height in SIZES:
            tab.set_viewport_size({"width": width, "height": height})
            faults += tab.evaluate(STICKING_OUT)
            for theme in THEMES:
                tab.emulate_media(color_scheme=theme)
                tab.screenshot(path=folder / f"{page.name}-{theme}-{width}.png", full_page=True)
        tab.close()
        return faults

    def take_one(self, page: Page, picture: Picture, file: Path) -> list[str]:
        """A picture of what the window shows of a page."""
        file.parent.mkdir(parents=True, exist_ok=True)
        tab, faults = self._open(page)
        tab.set_viewport_size({"width": picture.width, "height": picture.height})
        tab.emulate_media(color_scheme=picture.theme)
        tab.screenshot(path=file)
        tab.close()
        return faults

    def _open(self, page):
        tab, faults = self._context(page.who).new_page(), []
        tab.on("pageerror", lambda error: faults.append(f"its script fails: {error}"))
        tab.on("response", lambda it: it.status >= 500 and faults.append(f"{it.status} {it.url}"))
        answer = tab.goto(self._world.url + page.path)
        if answer.status != page.status:
            faults.append(f"{page.path} is answered with {answer.status}")
        if page.act:
            page.act(tab)
        tab.evaluate("document.fonts.ready.then(() => true)")
        return tab, faults

    def _context(self, who):
        """The browser of a person, who has logged in; of nobody where there is no name."""
        if who not in self._people:
            context = self._browser.new_context(
                locale=LOCALES[self._language],
                timezone_id=ZONE,
                viewport={"width": SIZES[0][0], "height": SIZES[0][1]},
                reduced_motion="reduce",
            )
            if who:
                self._log_in(context, who)
            self._people[who] = context
        return self._people[who]

    def _log_in(self, context, who):
        """By the link that sets the password."""
        tab = context.new_page()
        tab.goto(self._world.url + self._world.links[who])
        for field in ("password", "again"):
            tab.fill(f"input[name={field}]", PASSWORD)
        # The first page learns the zone of the browser.
        with tab.expect_navigation(url="**/console"):
            tab.click("main form button >> nth=0")
        tab.close()

"""The pages of the console, each with its name, its path, and what has to be clicked first."""

from collections.abc import Callable
from dataclasses import dataclass

from shots.ten import CSV, METERS, NAMES, SOIL
from shots.worlds import LOAD_PRODUCT, World


@dataclass(frozen=True)
class Page:
    """A page of a world."""

    name: str
    path: str
    # Works on it as a tab of the browser.
    act: Callable[[object], None] | None = None
    # Who looks at it; "": somebody who has not logged in.
    who: str = "ada"
    status: int = 200


@dataclass(frozen=True)
class Picture:
    """A picture of the documentation: what a window of this size shows of a page."""

    name: str
    world: str
    page: str
    theme: str = "light"
    width: int = 1200
    height: int = 760


DOCS = (
    Picture("overview", "ten", "overview"),
    Picture("device-data", "ten", "device-data", "dark", height=900),
    Picture("waiting-refused", "ten", "device-refused", height=700),
    Picture("refusals", "ten", "refusals-open", height=820),
    Picture("commands", "ten", "device-commands", "dark", height=1040),
    Picture("devices-phone", "ten", "devices", width=390, height=844),
)


def pages_of(world: World) -> list[Page]:
    """All pages of a world. Those that make something new are the last ones."""
    return {"empty": _empty, "ten": _ten, "million": _million}[world.name](world)


def _places() -> list[Page]:
    """The navigation, and what every server has."""
    names = "devices products refusals firmware import users tokens ous audit system jobs keys"
    return [
        Page("overview", "/console"),
        *(Page(name, f"/console/{name}") for name in names.split()),
        Page("account", "/login"),
        Page("device-new", "/console/devices/new"),
        Page("product-new", "/console/new-product"),
    ]


def _strangers(world) -> list[Page]:
    """What somebody sees who has not logged in."""
    return [
        Page("about", "/", who=""),
        Page("login", "/login", who=""),
        Page("login-wrong", "/login", _wrong_password, who=""),
        Page("link-old", "/password/none", who="", status=404),
    ]


def _empty(world):
    return [*_places(), *_strangers(world)]


def _million(world):
    devices, product = "/console/devices", f"/console/products/{LOAD_PRODUCT}"
    return [
        *_places(),
        Page("devices-online", f"{devices}?state=online"),
        Page("devices-search", f"{devices}?q=load-09999"),
        Page("devices-none", f"{devices}?q=nothing&state=online"),
        Page("devices-many", devices, _all_of_filter),
        Page("product", product),
        Page("product-counted", f"{product}?count=1"),
        Page("device-data", f"{devices}/{LOAD_PRODUCT}/load-0000001/data?last=1h"),
        Page("device-refused", f"{devices}/{LOAD_PRODUCT}/load-0000007"),
    ]


def _ten(world):
    return [
        *_places(),
        *_strangers(world),
        *_devices(),
        *_products(),
        *_firmware(world),
        *_access(world),
        Page("refusals-open", "/console/refusals", _first_row),
        Page("refusals-none", "/console/refusals?reason=not_dtls"),
        Page("audit-open", "/console/audit", _first_row),
        Page("audit-none", "/console/audit?actor=nobody"),
        Page("import-tried", "/console/import", _try_import),
        Page("job", world.found["job"]),
        Page("not-found", "/console/devices/none/none", status=404),
        Page("unit-overview", "/console", who="nora"),
        Page("unit-devices", "/console/devices", who="nora"),
        Page("backup", "/console/system", _click("#backup button")),
        Page("import-done", "/console/import", _import_one),
        Page("token-created", "/console/tokens", _make("name", "meter-reading")),
        Page("user-created", "/console/users", _make("user", "ines")),
        Page("device-created", f"/console/devices/new?product={METERS}", _click("main form button.first")),
        Page("product-created", "/console/new-product", _make("name", "Street lamps")),
    ]


def _devices():
    list_path = "/console/devices"
    path = {
        name: f"{list_path}/{SOIL if name == 'soil' else METERS}/{key}" for name, (key, _) in NAMES.items()
    }
    tabs = ("data", "commands", "log", "session")
    return [
        Page("devices-offline", f"{list_path}?state=offline&sort=newest"),
        Page("devices-none", f"{list_path}?q=zzz&firmware=3.0"),
        Page("devices-wrong", f"{list_path}?state=broken", status=422),
        Page("devices-many", list_path, _all_of_filter),
        Page("device", path["online"]),
        *(Page(f"device-{tab}", f"{path['online']}/{tab}") for tab in tabs if tab != "commands"),
        Page("device-data-hour", f"{path['online']}/data?last=1h"),
        Page("device-commands", f"{path['garage']}/commands"),
        *(Page(f"device-never-{tab}", f"{path['never']}/{tab}") for tab in tabs),
        *(Page(f"device-{name}", path[name]) for name in NAMES if name != "online"),
        Page("device-refused-log", f"{path['refused']}/log"),
        Page("device-key", path["never"], _click("form[action$='/key'] button")),
        *(Page(f"device-{act}", f"{path['online']}/{act}") for act in ("disable", "reset", "delete")),
    ]


def _products():
    path = "/console/products"
    return [
        Page("product", f"{path}/{METERS}"),
        Page("product-custom", f"{path}/{SOIL}"),
        Page("product-model", f"{path}/{METERS}/model"),
        Page("product-model-changes", f"{path}/{METERS}/model", _change_model),
        Page("product-model-none", f"{path}/{SOIL}/model"),
        Page("product-script", f"{path}/{SOIL}/script"),
        Page("product-script-tried", f"{path}/{SOIL}/script", _try_script),
        Page("product-script-none", f"{path}/{METERS}/script"),
        *(Page(f"product-{act}", f"{path}/{METERS}/{act}") for act in ("disable", "rotate", "delete")),
    ]


def _firmware(world):
    image, other = world.found["image-2.1"], world.found["image-2.0"]
    return [
        Page("image", image),
        Page("image-not-offered", other),
        Page("image-offer", f"{other}/offer?share=10"),
        Page("image-delete", f"{image}/delete"),
    ]


def _access(world):
    return [
        Page("password", world.links["eve"], who=""),
        Page("user", "/console/users/nora"),
        Page("user-reset", "/console/users/nora/reset"),
        Page("user-delete", "/console/users/nora/delete"),
        Page("token-revoke", "/console/tokens/dashboard/revoke"),
        Page("ou", world.found["unit"]),
        Page("ou-suspend", f"{world.found['unit']}/suspend"),
    ]


def _click(selector):
    """Clicks what leads to another page."""

    def act(tab):
        with tab.expect_navigation():
            tab.click(f"{selector} >> nth=0")

    return act


def _make(field, value):
    """Fills in the last form of a page, and sends it."""

    def act(tab):
        tab.fill(f"main form.narrow input[name={field}]", value)
        _click("main form.narrow button.first")(tab)

    return act


def _first_row(tab):
    _click("tr[data-row] th a")(tab)


def _all_of_filter(tab):
    tab.select_option("select[name=action]", "disable")
    _click("button[value=all]")(tab)
    # They are counted first, behind a page that is loaded again.
    tab.wait_for_selector("input[name=typed]", timeout=120_000)


def _wrong_password(tab):
    tab.fill("input[name=user]", "ada")
    tab.fill("input[name=password]", "not the right one")
    _click("main form button")(tab)


def _change_model(tab):
    tab.fill("main input[name=identifier]", "battery")
    tab.fill("main input[name=unit]", "%")
    _click("button[value=add]")(tab)


def _try_script(tab):
    tab.fill("main [name=payload]", "0100000000d7")
    _click("button[value=try]")(tab)


def _import(tab, text, how):
    tab.select_option("select[name=product]", METERS)
    file = {"name": "houses.csv", "mimeType": "text/csv", "buffer": text.encode()}
    tab.set_input_files("input[type=file]", files=[file])
    _click(f"button[value={how}]")(tab)
    # It may be running still, and is loaded again then.
    tab.wait_for_selector("#import dl.facts")


def _try_import(tab):
    _import(tab, CSV, "try")


def _import_one(tab):
    _import(tab, "deviceKey,name\n867725030098001,The last house\n", "import")

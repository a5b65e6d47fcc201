"""The pages of the console that `pages` asks for, by the names that it has for what is in its store.

The routes are those of crates/http/src/console.
"""

DEVICES = "/console/devices"
OF_DEVICE = "/console/devices/{product}/{device}"
OF_TALKATIVE = "/console/devices/{product}/{minutely}"

# Each filter alone, those that find much, little and nothing, and all together.
FILTERS = {
    "all": "",
    "a product": "product={product}",
    "online (none)": "state=online",
    "offline": "state=offline",
    "never logged in": "state=inactive",
    "disabled": "state=disabled",
    "silent for a day": "silent=24",
    "silent for 30 days": "silent=720",
    "key of one": "q={last}",
    "key of a thousand": "q={thousand}",
    "key of all": "q=8677",
    "name": "q=cellar+99",
    "key or name of none": "q=x",
    "tag of many": "tag=site%3As7",
    "tag of the last one": "tag=site%3Alast",
    "tag of none": "tag=site%3Anone",
    "tag of many, offline": "tag=site%3As7&state=offline",
    "firmware of many": "firmware=1.0",
    "firmware of none": "firmware=9.9",
    "all filters": "q=8677&product={product}&state=offline&tag=site%3As7&firmware=1.0&silent=1",
}
SORTS = {"": "", ", the newest first": "sort=newest", ", by key": "sort=key"}

SPANS = ("1h", "24h", "7d", "30d")
KINDS = ("presence", "refused", "commands", "operators")


def _address(path, *queries):
    query = "&".join(query for query in queries if query)
    return f"{path}?{query}" if query else path


def _of_device(name, path):
    """The pages of one device."""
    return {
        name: path,
        **{f"{name}: data, {span}": f"{path}/data?last={span}" for span in SPANS},
        f"{name}: commands": f"{path}/commands",
        f"{name}: log": f"{path}/log",
        **{f"{name}: log, {kind}": f"{path}/log?kind={kind}" for kind in KINDS},
        f"{name}: session": f"{path}/session",
    }


# Of an administrator of all organisation units.
OF_ALL = {
    "overview": "/console",
    **{
        f"devices: {name}{sort}": _address(DEVICES, query, order)
        for name, query in FILTERS.items()
        for sort, order in SORTS.items()
    },
    "devices: all, in the middle": DEVICES + "?cursor={deep}",
    "devices: the newest first, in the middle": DEVICES + "?sort=newest&cursor={deep_newest}",
    "devices: by key, in the middle": DEVICES + "?sort=key&cursor={deep_key}",
    "devices: tag of many, in the middle": DEVICES + "?tag=site%3As7&cursor={deep_tag}",
    "devices: search": DEVICES + "?q={thousand}&go=1",
    "devices: a new one": DEVICES + "/new?product={product}",
    "devices: an act on many, asked": "{ask}",
    "jobs": "/console/jobs",
    "a job": "/console/jobs/{job}",
    **_of_device("a device (a report in 15 min)", OF_DEVICE),
    **_of_device("a device (a report in 1 min)", OF_TALKATIVE),
    "a device: to switch it off": OF_DEVICE + "/disable",
    "a device: to reset it": OF_DEVICE + "/reset",
    "a device: to delete it": OF_DEVICE + "/delete",
    "products": "/console/products",
    "products: search": "/console/products?q=more-2",
    "a new product": "/console/new-product",
    "a product": "/console/products/{product}",
    "a product: all devices counted": "/console/products/{product}?count=1",
    "a product without devices": "/console/products/more-1",
    "a product: model": "/console/products/{product}/model",
    "a product: script": "/console/products/{scripted}/script",
    "a product: to switch it off": "/console/products/{product}/disable",
    "a product: to replace its secret": "/console/products/{product}/rotate",
    "a product: to delete it": "/console/products/{product}/delete",
    "refusals": "/console/refusals",
    "refusals: of a reason": "/console/refusals?reason=wrong_key",
    "refusals: of a product": "/console/refusals?product={product}",
    "firmware": "/console/firmware",
    "firmware: of a product": "/console/firmware?product={product}",
    "an image, offered to all": "/console/firmware/{image}",
    "an image: to offer it": "/console/firmware/{image}/offer?share=100",
    "an image: to delete it": "/console/firmware/{image}/delete",
    "import": "/console/import",
    "an import with faults": "/console/import/{import}",
    "users": "/console/users",
    "users: search": "/console/users?q=user-1",
    "a user": "/console/users/{user}",
    "a user: to reset it": "/console/users/{user}/reset",
    "a user: to delete it": "/console/users/{user}/delete",
    "tokens": "/console/tokens",
    "a token: to revoke it": "/console/tokens/{token}/revoke",
    "organisation units": "/console/ous",
    "an organisation unit": "/console/ous/{unit}",
    "an organisation unit: to suspend it": "/console/ous/{unit}/suspend",
    "audit": "/console/audit",
    "audit: of an action": "/console/audit?action=users",
    "audit: of a rare action": "/console/audit?action=backup",
    "audit: of an actor": "/console/audit?actor=nobody",
    "audit: of a target": "/console/audit?target=%2Fproducts%2Fpk%2Fdevices",
    "system": "/console/system",
    "keys": "/console/keys",
}

# Of an administrator of one unit, which has every hundredth device.
OF_UNIT = {
    "a unit: overview": "/console",
    **{
        f"a unit: devices: {name}": _address(DEVICES, query)
        for name, query in FILTERS.items()
        if "product" not in query
    },
    "a unit: products": "/console/products",
    "a unit: a product": "/console/products/pk-north",
    "a unit: refusals": "/console/refusals",
    "a unit: firmware": "/console/firmware",
    "a unit: audit": "/console/audit",
    "a unit: jobs": "/console/jobs",
    "a unit: import": "/console/import",
}

# What pages link to that is no page: files, and what a page loads.
LEFT_OUT = (
    OF_DEVICE + "/data/export",
    "/console/audit/export",
    "/console/assets/{version}/{name}",
    "/console/system/backup",
)

"""Users log in by an OpenID Connect provider that is not ours."""

import json
import re

from interop.harness import case, check
from interop.peers import oidc_provider

GROUPS = {"ann": ["staff", "north-team"], "bob": ["admins"], "eve": ["staff"]}
ROLES = "admins=administrator, north-team=operator@north"


def _settings(gateway, issuer, **more):
    secret = gateway.folder / "client.secret"
    secret.write_text(oidc_provider.CLIENT_SECRET + "\n")
    settings = {
        "HTTP_PUBLIC_URL": f"http://127.0.0.1:{gateway.http_port}",
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_SECRET_FILE": str(secret),
        "OIDC_SCOPES": "profile,groups",
        **more,
    }
    return {f"NARROWGATE_{name}": value for name, value in settings.items()}


def _site(gateway):
    return f"http://127.0.0.1:{gateway.http_port}"


def _me(browser, gateway):
    _, status, text = browser.open(f"{_site(gateway)}/api/v1/me")
    return json.loads(text) if status == 200 else status


def _redirect(gateway):
    return f"{_site(gateway)}/login/oidc/callback"


@case("login by oidc-provider: users are made by their groups, and nobody else gets in")
def _by_groups(world):
    with world.fresh() as gateway, oidc_provider.provider(_redirect(gateway), GROUPS) as issuer:
        gateway.start(settings=_settings(gateway, issuer, OIDC_ROLES=ROLES, OIDC_PASSWORDS="false"))
        check("/password/" not in gateway.said(), "a link is printed that nobody can use")
        north = gateway.json("ou", "create", "north")["ou"]
        browsers = {name: oidc_provider.Browser() for name in GROUPS}
        for name, browser in browsers.items():
            address, status, page = browser.log_in(_site(gateway), name)
            expected = 403 if name == "eve" else 200
            check(status == expected, f"{name} ends at {address} with {status}: {page}")
        seen = {name: _me(browser, gateway) for name, browser in browsers.items()}
        check(
            seen
            == {
                "ann": {"user": "ann", "role": "operator", "ou": north},
                "bob": {"user": "bob", "role": "administrator", "ou": None},
                "eve": 401,
            },
            f"they are {seen}",
        )
        made = [(user["user"], user["state"]) for user in gateway.json("user", "list")]
        check(made == [("ann", "active"), ("bob", "active")], f"the users are {made}")
        entries = gateway.json("audit", "list")
        codes = [entry["code"] for entry in entries if entry["outcome"] == "failed"]
        check(codes == ["oidc_no_role"], f"the audit log has {entries}")
        check(oidc_provider.CLIENT_SECRET not in gateway.log(10_000), "the log has the client's secret")


@case("login by oidc-provider: those who were made here get in, also with the secret in a form")
def _made_here(world):
    with world.fresh() as gateway, oidc_provider.provider(_redirect(gateway), GROUPS) as issuer:
        gateway.start(settings=_settings(gateway, issuer, OIDC_CLIENT_ID="by-form"))
        gateway.json("user", "create", "ann", "--role", "viewer")
        ann, bob = oidc_provider.Browser(), oidc_provider.Browser()
        _, status, page = ann.log_in(_site(gateway), "ann")
        check(status == 200 and re.search(r"<b>ann</b>.{0,40}viewer", page), f"ann gets {status}: {page}")
        _, status, page = bob.log_in(_site(gateway), "bob")
        check(status == 403 and "no user of your name" in page, f"bob gets {status}: {page}")


@case("login by a provider that is down: the server starts and serves, and says so to who logs in")
def _down(world):
    with world.fresh() as gateway, world.fresh() as nobody:
        gateway.start(settings=_settings(gateway, f"http://127.0.0.1:{nobody.http_port}"))
        _, status, page = oidc_provider.Browser().open(f"{_site(gateway)}/login/oidc")
        check(status == 503 and "does not answer" in page, f"it says {status}: {page}")
        check(gateway.http("/health/ready")[0] == 200, "it is not ready")
        _, status, page = oidc_provider.Browser().open(f"{_site(gateway)}/login")
        check(status == 200 and 'name="password"' in page, f"the page is {page}")

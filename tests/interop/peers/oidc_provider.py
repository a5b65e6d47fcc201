"""oidc-provider (for Node.js), a certified OpenID Connect provider, and a browser that logs in by it."""

import http.cookiejar
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from lib.paths import TOOLS
from lib.ports import free_port
from lib.tools import ToolMissing, need

from . import PeerFailed

NAME = "oidc-provider"
CLIENT_SECRET = "a:secret with signs+%"
PAGES_MAX = 8


@contextmanager
def provider(redirect, groups_of_users):
    """Runs it, for a client that is sent back here; its issuer."""
    node = shutil.which("node")
    if node is None:
        raise ToolMissing("node is missing: run tests/run install")
    folder = need(TOOLS / "oidc" / "node_modules" / "oidc-provider", "oidc-provider")
    port = free_port(socket.SOCK_STREAM)
    helper = str(Path(__file__).with_name("oidc_provider_helper.mjs"))
    process = subprocess.Popen(
        [node, helper, folder, str(port), redirect, json.dumps(groups_of_users)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if process.stdout.readline().strip() != "ready":
            raise PeerFailed("oidc-provider has not started")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


class Browser:
    """Follows redirects and keeps cookies, as a browser does."""

    def __init__(self):
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def open(self, address, form=None):
        """Where it ends, with status and page."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self._opener.open(address, data, timeout=20) as answer:
                return answer.url, answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.url, refused.code, refused.read().decode()

    def log_in(self, site, user):
        """Goes to the provider from the page to log in, and does what its pages ask for."""
        address, status, page = self.open(f"{site}/login/oidc")
        for _ in range(PAGES_MAX):
            if address.startswith(site):
                return address, status, page
            action = re.search(r'action="([^"]+)"', page)
            prompt = re.search(r'name="prompt" value="(\w+)"', page)
            if status != 200 or action is None or prompt is None:
                raise PeerFailed(f"oidc-provider answers {status} at {address}: {page[:500]}")
            form = {"prompt": prompt[1], "login": user, "password": "any"}
            address, status, page = self.open(urllib.parse.urljoin(address, action[1]), form)
        raise PeerFailed("oidc-provider asks on and on")

"""What a kernel may ask its server: envpanel's routes, as the user who started it, while it runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from server_api import create
from test_access import asked, registered

from envpanel.kernels.kernel import Kernel
from envpanel.model.nouns import Author
from envpanel.server.launches import KernelLogins, address_of

GRACE = Author(username="grace", name="Grace", verified=True)
ADA = Author(username="ada", name="Ada", verified=True)


def kernel(author: Author, kernel_id: str = "k1") -> Kernel:
    return Kernel(
        id=kernel_id,
        environment="churn",
        revision=1,
        content_id="0",
        author=author,
        started="2026-01-01T00:00:00Z",
        host="here",
        pid=1,
        born="",
        ready="",
    )


def test_a_token_counts_from_the_start_to_the_end_of_its_kernel() -> None:
    logins = KernelLogins()
    token = logins.issue("k1", GRACE, None)
    assert logins.of(token) is None, "a kernel that does not start asks nothing"
    logins.begun(kernel(GRACE))
    login = logins.of(token)
    assert login is not None
    assert (login.author, login.user.username) == (GRACE, "grace")
    assert logins.of("") is None
    assert logins.of(token[:-1]) is None
    assert logins.of("ÿ\udcff") is None
    assert token not in repr(login)
    logins.ended(kernel(GRACE))
    assert logins.of(token) is None


def test_each_start_has_its_own_and_others_keep_theirs() -> None:
    logins = KernelLogins()
    first, other = logins.issue("k1", GRACE, None), logins.issue("k2", ADA, None)
    logins.begun(kernel(GRACE))
    logins.begun(kernel(ADA, "k2"))
    again = logins.issue("k1", GRACE, None)
    logins.begun(kernel(GRACE))
    assert logins.of(first) is None
    assert logins.of(again) is not None
    found = logins.of(other)
    assert found is not None
    assert found.author == ADA
    logins.clear()
    assert logins.of(again) is logins.of(other) is None


def test_after_a_crash_it_is_the_one_s_who_started_it_whoever_asked_for_anything_since() -> None:
    logins = KernelLogins()
    grace, ada = User(username="grace", initials="G"), User(username="ada")
    logins.issue("k1", GRACE, grace)
    logins.begun(kernel(GRACE))
    # Jupyter restarts it in the context of whichever request was answered last.
    token = logins.issue("k1", ADA, ada)
    logins.begun(kernel(GRACE))
    login = logins.of(token)
    assert login is not None
    assert (login.author, login.user) == (GRACE, grace)


def test_where_kernels_reach_the_server() -> None:
    def address(**more: Any) -> str:
        server = {"sock": "", "ip": "localhost", "port": 8888, "certfile": "", "base_url": "/"}
        return address_of(SimpleNamespace(**{**server, **more}))

    assert address() == "http://localhost:8888/"
    assert address(ip="", base_url="/user/ada/") == "http://127.0.0.1:8888/user/ada/"
    assert address(ip="0.0.0.0", certfile="a.pem") == "https://127.0.0.1:8888/"
    assert address(ip="::") == "http://[::1]:8888/"
    assert address(ip="10.1.2.3") == "http://10.1.2.3:8888/"
    assert address(sock="/tmp/a b.sock") == "http+unix://%2Ftmp%2Fa%20b.sock/"


# In a server


@pytest.fixture
def logins(jp_serverapp: Any) -> KernelLogins:
    found: KernelLogins = jp_serverapp.web_app.settings["envpanel_kernel_logins"]
    return found


def header(logins: KernelLogins, author: Author = GRACE) -> dict[str, str]:
    token = logins.issue("k1", author, None)
    logins.begun(kernel(author))
    return {"Authorization": f"envpanel-kernel {token}"}


async def changed(fetch: Any, headers: dict[str, str], name: str = "churn") -> Any:
    """The record of an environment that is made."""
    answer = await fetch(
        "envpanel", "environments", name, "changes", method="POST", body=json.dumps(create("alpha")), headers=headers
    )
    if answer.code == 201:
        return json.loads(answer.body)["record"]
    path = answer.headers["Location"].partition("/envpanel/")[2]
    while True:
        build = json.loads((await fetch("envpanel", *path.split("/"), headers=headers)).body)
        if build["state"] != "running":
            return build["result"]["record"]
        await asyncio.sleep(0.05)


async def test_the_author_is_the_user_of_the_kernel(jp_fetch: Any, logins: KernelLogins) -> None:
    record = await changed(jp_fetch, header(logins))
    assert record["author"] == {"username": "grace", "name": "Grace", "verified": True}
    record = await changed(jp_fetch, header(logins, replace(ADA, verified=False)), "other")
    assert record["author"] == {"username": "ada", "name": "Ada", "verified": False}


async def test_a_login_that_has_ended_gets_nothing_at_any_route(
    jp_serverapp: Any, jp_fetch: Any, logins: KernelLogins
) -> None:
    headers = header(logins)
    logins.ended(kernel(GRACE))
    for method, path in registered(jp_serverapp):
        answer = await asked(jp_fetch, method, path, headers=headers)
        assert answer.code == 403, (method, path)
        told = json.loads(answer.body)
        assert told["message"] == "The login of this kernel has ended; restart the kernel."


@pytest.mark.parametrize("path", ["api/contents", "api/kernels", "api/me", "api/sessions", "api/kernelspecs"])
async def test_it_is_no_login_elsewhere(jp_fetch: Any, logins: KernelLogins, path: str) -> None:
    headers = header(logins)
    assert (await jp_fetch("envpanel", headers=headers)).code == 200
    with pytest.raises(Exception, match="403"):
        await jp_fetch(*path.split("/"), headers=headers, follow_redirects=False)


async def test_in_a_query_it_is_none(jp_fetch: Any, logins: KernelLogins) -> None:
    token = header(logins)["Authorization"].split()[1]
    for headers in ({"Authorization": f"token {token}"}, {"Authorization": f"Bearer {token}"}):
        with pytest.raises(Exception, match="403"):
            await jp_fetch("envpanel", headers=headers)
    with pytest.raises(Exception, match="403"):
        await jp_fetch("envpanel", headers={"Authorization": "none"}, params={"token": token})


class Asked(Authorizer):
    """Lets grace look, and nobody do more."""

    users: list[str] = []  # noqa: RUF012 - one server a test

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.users.append(user.username)
        return user.username == "grace" and action == "read"


class Hub(IdentityProvider):
    """Knows nobody: a kernel has no cookie and no token of the hub."""

    def get_user(self, handler: Any) -> User | None:
        return None


class TestAuthorizer:
    """The rights of the user are asked for as ever."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"] |= {"authorizer_class": Asked, "identity_provider_class": Hub}
        return jp_server_config

    async def test_is_asked_with_the_user_of_the_kernel(
        self, jp_serverapp: Any, jp_fetch: Any, logins: KernelLogins
    ) -> None:
        Asked.users.clear()
        headers = header(logins)
        for method, path in registered(jp_serverapp):
            answer = await asked(jp_fetch, method, path, headers=headers)
            if method == "GET":
                assert answer.code in (200, 400, 404), (method, path, answer.code)
            else:
                assert answer.code == 403, (method, path, answer.code)
        assert set(Asked.users) == {"grace"}
        assert (await asked(jp_fetch, "GET", "", headers=header(logins, ADA))).code == 403

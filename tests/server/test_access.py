"""Who may: no login, too few rights and foreign pages get nothing, at every route that is registered."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from server_api import Api, create
from tornado.httpclient import HTTPClientError
from tornado.web import RequestHandler

from envpanel.server.openapi import METHODS
from envpanel.server.rest import RESOURCE, Handler, vouches

SAMPLES = {"name": "churn", "number": "1", "attempt_id": "x", "build_id": "x", "package": "x", "kernel_id": "x"}


def registered(serverapp: Any) -> list[tuple[str, str]]:
    """Method and path of everything below envpanel/ that the server has."""
    found = []
    for rule in serverapp.web_app.wildcard_router.rules + serverapp.web_app.default_router.rules:
        for inner in getattr(rule.target, "rules", [rule]):
            pattern, handler = getattr(inner.matcher, "regex", None), inner.target
            if pattern is None or "/envpanel" not in pattern.pattern:
                continue
            path = pattern.pattern.rstrip("$").partition("/envpanel")[2].removesuffix("/?")
            for name, sample in SAMPLES.items():
                path = re.sub(rf"\(\?P<{name}>(\[[^\]]*\]|[^()])*\)", sample, path)
            assert issubclass(handler, Handler), f"{handler} is none of envpanel's, so nothing checks who asks"
            path = path.replace(".*", "anything").replace("\\", "").lstrip("/")
            methods = [name for name in METHODS if getattr(handler, name) is not getattr(RequestHandler, name)]
            assert methods, handler
            found += [(method.upper(), path) for method in methods]
    return found


async def asked(fetch: Any, method: str, path: str, **options: Any) -> Any:
    body = "{}" if method in ("POST", "PATCH") else None
    try:
        return await fetch("envpanel", *path.split("/"), method=method, body=body, follow_redirects=False, **options)
    except HTTPClientError as error:
        return error.response


async def test_all_routes_are_walked(jp_serverapp: Any) -> None:
    routes = registered(jp_serverapp)
    assert ("POST", "environments/churn/changes") in routes
    assert ("DELETE", "builds/x") in routes
    assert len(routes) >= 20


async def test_without_a_login_every_route_says_no_in_json(
    jp_serverapp: Any, http_server_client: Any, jp_base_url: str
) -> None:
    async def fetch(*parts: str, **options: Any) -> Any:
        return await http_server_client.fetch(f"{jp_base_url}{'/'.join(parts)}", raise_error=False, **options)

    for method, path in registered(jp_serverapp):
        answer = await asked(fetch, method, path)
        assert answer.code == 403, (method, path, answer.code)
        assert {"message", "code", "path"} <= json.loads(answer.body).keys(), (method, path)


class ReadOnly(Authorizer):
    """Lets everybody look."""

    seen: set[tuple[str, str]] = set()  # noqa: RUF012 - one server a test

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.seen.add((resource, action))
        return action == "read"


class TestReadOnly:
    """Who may only look."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = ReadOnly
        return jp_server_config

    async def test_may_get_everything_and_change_nothing(self, jp_serverapp: Any, jp_fetch: Any) -> None:
        ReadOnly.seen.clear()
        for method, path in registered(jp_serverapp):
            answer = await asked(jp_fetch, method, path)
            if method == "GET":
                assert answer.code in (200, 400, 404), (method, path, answer.code)
            else:
                assert answer.code == 403, (method, path, answer.code)
                assert json.loads(answer.body)["code"] == "forbidden"
        assert {action for resource, action in ReadOnly.seen if resource == RESOURCE} == {"read", "write", "execute"}


async def test_a_foreign_page_can_do_nothing(jp_serverapp: Any, jp_fetch: Any) -> None:
    for method, path in registered(jp_serverapp):
        answer = await asked(jp_fetch, method, path, headers={"Origin": "https://evil.example"})
        # With a token Jupyter believes that a program asks; with a cookie the origin counts.
        assert answer.code < 500
    for method, path in registered(jp_serverapp):
        answer = await by_cookie(jp_serverapp, jp_fetch, method, path, "https://evil.example")
        assert answer.code in (403, 404), (method, path, answer.code)


async def test_a_form_without_the_secret_of_the_page_can_do_nothing(jp_serverapp: Any, jp_fetch: Any) -> None:
    for method, path in registered(jp_serverapp):
        if method == "GET":
            continue
        answer = await by_cookie(jp_serverapp, jp_fetch, method, path, None)
        assert answer.code == 403, (method, path, answer.code)
        assert "_xsrf" in json.loads(answer.body)["message"]


async def by_cookie(serverapp: Any, fetch: Any, method: str, path: str, origin: str | None) -> Any:
    """As a browser asks that has logged in before."""
    login = await fetch("api", "me", method="GET")
    cookies = "; ".join(line.partition(";")[0] for line in login.headers.get_list("Set-Cookie"))
    headers = {"Cookie": cookies, "Authorization": "none"} | ({"Origin": origin} if origin else {})
    return await asked(fetch, method, path, headers=headers)


# Who it was


async def test_whoever_has_the_token_is_the_user_of_the_server_and_vouched_for_by_nobody(api: Api) -> None:
    one = await api.change("churn", create("alpha"))
    two = await api.change("other", create("alpha"))
    author = one["record"]["author"]
    assert author == two["record"]["author"], "Jupyter makes a new name for each request"
    assert author["verified"] is False
    assert "nonymous" not in author["name"]
    assert one["record"]["via"] == "lab"


class Hub(IdentityProvider):
    """Knows who somebody is, as a hub does."""

    def get_user(self, handler: Any) -> User | None:
        if handler.request.headers.get("Authorization", "").startswith("token"):
            return User(username="ada", name="Ada Lovelace", display_name="Ada")
        return None

    def is_token_authenticated(self, handler: Any) -> bool:
        return True


class TestHub:
    """A login that vouches."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["identity_provider_class"] = Hub
        return jp_server_config

    async def test_is_the_author_and_nothing_in_the_request_is(self, api: Api) -> None:
        body = create("alpha")
        made = await api.change("churn", body)
        assert made["record"]["author"] == {"username": "ada", "name": "Ada", "verified": True}
        reply = await api.ask("POST", "environments/x/changes", {**body, "author": "mallory"})
        assert reply.code == 400


def test_only_providers_that_know_people_vouch() -> None:
    assert not vouches(IdentityProvider())
    assert vouches(Hub())

"""The description of the API says what the handlers do, all of it."""

from __future__ import annotations

from typing import Any

from openapi_spec_validator import validate
from server_api import CHANGES, Api, create, install
from test_access import SAMPLES, registered

from envpanel.server.handlers import ROUTES
from envpanel.server.openapi import METHODS, document, operations
from envpanel.server.rest import Handler


def test_it_is_openapi() -> None:
    validate(document())


def test_every_method_of_every_handler_is_described() -> None:
    for route, handler in ROUTES:
        own = {name for name in METHODS if getattr(handler, name) is not getattr(Handler, name)}
        assert own == set(operations(handler)), route


async def test_every_route_of_the_server_is_in_it_and_nothing_else(api: Api, jp_serverapp: Any) -> None:
    served = await api.get("openapi.json")
    described = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    filled = set()
    for method, path in described:
        for name, sample in SAMPLES.items():
            path = path.replace(f"{{{name}}}", sample)
        filled.add((method, path.removeprefix("/envpanel").removeprefix("/")))
    assert filled == {each for each in registered(jp_serverapp) if each[1] != "anything"}


async def test_answers_are_as_described(api: Api) -> None:
    """Of the types that the description names: each field is there, and none besides."""
    schemas = document()["components"]["schemas"]

    def fits(value: Any, name: str) -> None:
        assert value.keys() == schemas[name]["properties"].keys(), name

    outcome = await api.change("churn", create("alpha"))
    fits(outcome, "Outcome")
    fits(outcome["record"], "Record")
    fits(await api.get(""), "About")
    fits(await api.get("environments"), "EnvironmentList")
    fits((await api.get("environments/churn"))["environment"], "Environment")
    fits(await api.get("environments/churn/revisions"), "History")
    fits((await api.get("environments/churn/revisions"))["revisions"][0], "HistoryEntry")
    fits(await api.get("environments/churn/diff"), "Comparison")
    reply = await api.ask("POST", CHANGES, install("no-such-package"))
    build = await api.ended(reply, state="failed")
    fits(build, "Build")
    fits(build["failure"], "Failure")
    fits((await api.ask("GET", "environments/nothing")).json, "ErrorReply")

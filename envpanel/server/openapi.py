"""The description of the API, made from the handlers themselves (OpenAPI 3.1)."""

from __future__ import annotations

import re
from http.client import responses
from typing import Any

import msgspec

from envpanel import __version__
from envpanel.server.handlers import ROUTES
from envpanel.server.requests import NoQuery
from envpanel.server.rest import STATUS, ErrorReply, Handler, Operation, operation

METHODS = ("get", "post", "put", "patch", "delete")


class OpenApiHandler(Handler):
    """The description itself."""

    @operation("This description.", action="read", answers={200: dict[str, Any]})
    async def get(self, query: NoQuery) -> None:
        self.answer(document())


def operations(handler: type[Handler]) -> dict[str, Operation]:
    """What a handler offers, by method."""
    found = {method: getattr(getattr(handler, method), "operation", None) for method in METHODS}
    return {method: each for method, each in found.items() if each is not None}


def document() -> dict[str, Any]:
    """All routes, with the types of what goes in and comes out."""
    kinds: list[Any] = [ErrorReply]
    for _, handler in _routes():
        for each in operations(handler).values():
            kinds += [kind for kind in (each.body, *each.answers.values()) if _is_model(kind)]
    unique = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(unique, schemas, strict=True))
    described = {
        "openapi": "3.1.0",
        "info": {"title": "envpanel", "version": __version__, "description": _ABOUT},
        "paths": {
            f"/envpanel{'/' if route else ''}{_template(route)}": {
                method: _described(each, route, schema_of) for method, each in operations(handler).items()
            }
            for route, handler in _routes()
        },
        "components": {"schemas": components},
    }
    # Defaults are tuples yet.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(described))
    return plain


_ABOUT = (
    "Shared Python environments with a history. Every route needs a login of the Jupyter server; an authorizer is "
    "asked about the resource `envpanel`. Events come over Jupyter's own websocket, `api/events/subscribe`."
)


def _routes() -> list[tuple[str, type[Handler]]]:
    return [*ROUTES, ("openapi.json", OpenApiHandler)]


def _is_model(kind: Any) -> bool:
    return kind is not None and kind not in (str, dict[str, Any])


def _template(route: str) -> str:
    return re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", route).replace("\\", "")


def _described(each: Operation, route: str, schema_of: dict[Any, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if name == "number" else "string"}}
        for name in re.findall(r"\{(\w+)\}", _template(route))
    ]
    for item in msgspec.structs.fields(each.query):
        schema = msgspec.json.schema(item.type)
        parameters.append({"name": item.encode_name, "in": "query", "required": item.required, "schema": schema})
    described: dict[str, Any] = {
        "summary": each.summary,
        "tags": [_tag(route)],
        "x-action": each.action,
        "parameters": parameters,
        "responses": {
            str(status): {
                "description": responses[status],
                "content": {each.media: {"schema": schema_of[kind] if _is_model(kind) else {"type": _type(kind)}}},
            }
            for status, kind in each.answers.items()
        },
    }
    if each.body is not None:
        content = {"application/json": {"schema": schema_of[each.body]}}
        described["requestBody"] = {"required": True, "content": content}
    for status in sorted({403, *STATUS.values()}):
        error = {"application/json": {"schema": schema_of[ErrorReply]}}
        described["responses"][str(status)] = {"description": responses[status], "content": error}
    return described


def _type(kind: Any) -> str:
    return "string" if kind is str else "object"


def _tag(route: str) -> str:
    return route.split("/")[0] or "server"

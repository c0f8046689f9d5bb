"""What all handlers share: who may, what is asked, how it is answered, and how errors are told."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http.client import responses
from typing import Any, Literal, TypeVar

import msgspec
from jupyter_server.auth import identity
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from envpanel.errors import (
    Cancelled,
    EnvPanelError,
    Failed,
    IndexUnreachable,
    InvalidInput,
    NotFound,
    Refused,
    StoreError,
)
from envpanel.model.nouns import Author
from envpanel.server.launches import KernelLogin, KernelLogins
from envpanel.server.project import Project, Work
from envpanel.server.requests import BODY_LIMIT, NoQuery, read_body, read_query
from envpanel.service import Environments

RESOURCE = "envpanel"
"""What an authorizer is asked about; the actions are read, write and execute."""

Action = Literal["read", "write", "execute"]

STATUS: Mapping[type[EnvPanelError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    Refused: 409,
    Cancelled: 409,
    IndexUnreachable: 503,
    Failed: 422,
    StoreError: 503,
    EnvPanelError: 500,
}
"""The status of each class of errors; a class that is not named here has that of the nearest one above it."""

_ANONYMOUS = {"IdentityProvider", "PasswordIdentityProvider", "LegacyIdentityProvider"}
"""Providers of Jupyter itself: whoever has the token or password gets a name made up at random."""

KERNEL_SCHEME = "envpanel-kernel"
"""`Authorization: envpanel-kernel <token>`: from within a kernel of this server."""

_Method = TypeVar("_Method", bound=Callable[..., Awaitable[None]])


@dataclass(frozen=True, kw_only=True)
class ErrorReply:
    """An error as it is told. `path`: where in the request something is wrong; `hint`: what to do."""

    message: str
    code: str
    path: str | None = None
    hint: str | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A method of a handler, for the description of the API. `answers`: the type of the body by status."""

    summary: str
    action: Action
    query: type[Any]
    body: type[Any] | None
    answers: Mapping[int, Any]
    media: str


def status_of(error: EnvPanelError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def operation(
    summary: str,
    *,
    action: Action,
    answers: Mapping[int, Any],
    query: type[Any] = NoQuery,
    body: type[Any] | None = None,
    media: str = "application/json",
) -> Callable[[_Method], _Method]:
    """Make a method of a handler one of the API: for those who are logged in and may do this, with checked input.

    The method gets `query`, and `body` where it takes one, as instances of these types.
    """

    def decorate(method: _Method) -> _Method:
        @web.authenticated
        @authorized(action=action, resource=RESOURCE)  # type: ignore[untyped-decorator]
        @wraps(method)
        async def inner(self: Handler, **path: str) -> None:
            arguments: dict[str, Any] = {"query": read_query(self.request.query_arguments, query)}
            if body is not None:
                if len(self.request.body) > BODY_LIMIT:
                    raise InvalidInput(f"The request is too large: more than {BODY_LIMIT >> 20} MiB.")
                arguments["body"] = read_body(self.request.body, body)
            await method(self, **path, **arguments)

        inner.operation = Operation(  # type: ignore[attr-defined]
            summary=summary, action=action, query=query, body=body, answers=answers, media=media
        )
        return inner  # type: ignore[return-value]

    return decorate


class KernelIdentity(identity.IdentityProvider):
    """Stands for the server's own identity provider in a request from within a kernel, which has a login of its own.

    The user is the one who has started the kernel, and what they may do is asked as ever.
    """

    def __init__(self, login: KernelLogin) -> None:
        super().__init__()
        self.login = login

    def get_user(self, handler: Any) -> Any:
        """The user of the kernel."""
        return self.login.user

    def is_token_authenticated(self, handler: Any) -> bool:
        """A page cannot send this header without being asked first, so neither origin nor XSRF need be looked at."""
        return True


class Handler(APIHandler):
    """A handler of envpanel."""

    auth_resource = RESOURCE

    _kernel: KernelIdentity | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # as that of APIHandler
        """Who asks: Jupyter's way; or a kernel by its own login, which no other handler takes."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == KERNEL_SCHEME:
            logins: KernelLogins = self.settings["envpanel_kernel_logins"]
            login = logins.of(token.strip())
            if login is None:
                # Not a login by a cookie that came along, either.
                raise web.HTTPError(403, "The login of this kernel has ended; restart the kernel.")
            self._kernel = KernelIdentity(login)
        await super().prepare()

    @property
    def identity_provider(self) -> identity.IdentityProvider:
        """The one that this request is asked by."""
        return self._kernel or super().identity_provider

    @property
    def project(self) -> Project:
        """The project of this server."""
        project: Project = self.settings["envpanel_project"]
        return project

    @property
    def author(self) -> Author:
        """Who asks: the login, where it vouches for somebody, else the OS user of the server."""
        return author_of(self, self.project.author)

    def answer(self, value: Any, status: int = 200, *, location: str | None = None) -> None:
        """Answer with a value of the model as JSON."""
        self.set_status(status)
        if location is not None:
            self.set_header("Location", f"{self.base_url}envpanel/{location}")
        self.finish(msgspec.json.encode(value))

    def accept(self, work: Work, environments: Environments, **build: Any) -> None:
        """Begin long work, and answer with the build."""
        build_id = self.project.start(work, environments, author=self.author, **build)
        self.answer(self.project.running.get(build_id), 202, location=f"builds/{build_id}")

    def answer_text(self, text: str, media: str) -> None:
        """Answer with a text."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(text, set_content_type=f"{media}; charset=utf-8")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors are `{"message", "code", "path"}`, whoever raised them."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, EnvPanelError):
            details = dict(error.details)
            reply = ErrorReply(
                message=error.message,
                code=error.code,
                path=str(details.pop("path", "")) or None,
                hint=error.hint,
                details=details or None,
            )
            status_code = status_of(error)
            self.set_status(status_code)
        else:
            message = getattr(error, "log_message", None) if isinstance(error, web.HTTPError) else None
            reply = ErrorReply(
                message=message or responses.get(status_code, "Unknown error"),
                code=responses.get(status_code, "error").lower().replace(" ", "-"),
            )
        self.finish(json.dumps(msgspec.to_builtins(reply)))

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """What a user typed, or an index that is away, is no affair of the server's log."""
        if not isinstance(error, EnvPanelError) or status_of(error) == 500:
            super().log_exception(kind, error, trace)


def author_of(handler: Any, otherwise: Author) -> Author:
    """Who is behind a request to any handler of the server: the login, where that vouches for somebody."""
    user = handler.current_user
    if isinstance(handler.identity_provider, KernelIdentity):
        return handler.identity_provider.login.author
    if user is None or not vouches(handler.identity_provider):
        return otherwise
    return Author(username=user.username, name=user.display_name or user.name or user.username, verified=True)


def vouches(provider: Any) -> bool:
    """Whether a login of this provider says who somebody is: a hub's does, a token does not."""
    kind = type(provider)
    return not (kind.__module__ == identity.__name__ and kind.__name__ in _ANONYMOUS)

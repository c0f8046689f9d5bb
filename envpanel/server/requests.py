"""What can be asked over REST: the parameters and bodies of requests, checked by their types."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec
from msgspec import Meta, Struct

from envpanel.errors import InvalidInput
from envpanel.model import change as changes
from envpanel.model.change import Change
from envpanel.model.nouns import Group, Kind
from envpanel.model.requirements_txt import RequirementsTxt, Source, checked, parse
from envpanel.service import Environments

Number = Annotated[int, Meta(ge=1, le=99_999_999)]
"""Of a revision."""

Limit = Annotated[int, Meta(ge=1, le=1000)]
Text = Annotated[str, Meta(max_length=2000)]
Specs = Annotated[list[str], Meta(min_length=1, max_length=1000)]

BODY_LIMIT = 2 << 20
"""Bytes of a request."""

_Asked = TypeVar("_Asked")


# Changes: each is made by the service's maker of that name


class _Intent(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="operation"):
    """An intent; `operation` tells which."""


class CreateIntent(_Intent, tag="create"):
    """A new environment of these requirements, and of those of a requirements.txt; what a kernel needs is added unless
    `kernel` is false."""

    group: Group
    requirements: list[str] = []
    requirements_txt: str | None = None
    kind: Kind = Kind.CUSTOM
    description: str = ""
    python: str | None = None
    kernel: bool = True

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        asked = _asked(self.requirements, self.requirements_txt)
        return environments.creating(
            asked.requirements,
            constraints=asked.constraints,
            hashes=asked.sorted_hashes,
            group=self.group,
            kind=self.kind,
            description=self.description,
            python=self.python,
            kernel=self.kernel,
        )


class CloneIntent(_Intent, tag="clone"):
    """A new custom environment with the packages of `source`, at its head where no `revision` is given."""

    source: str
    revision: Number | None = None
    description: str | None = None

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return environments.cloning(self.source, self.revision, description=self.description)


class InstallIntent(_Intent, tag="install"):
    """Ask for packages, or for other versions of them: PEP 508 specifications, and the text of a requirements.txt."""

    requirements: list[str] = []
    requirements_txt: str | None = None

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        asked = _asked(self.requirements, self.requirements_txt)
        if not asked.requirements:
            raise _invalid("it names no package to install", "change.requirements")
        install = changes.Install.of(*asked.requirements)
        return replace(install, constraints=asked.constraints, hashes=asked.sorted_hashes)


class UninstallIntent(_Intent, tag="uninstall"):
    """No longer ask for these packages."""

    packages: Specs

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return changes.Uninstall.of(*self.packages)


class UpgradeIntent(_Intent, tag="upgrade"):
    """Take the newest versions that the requirements allow, of these packages or, where none is named, of all."""

    packages: list[str] = []

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return changes.Upgrade.of(*self.packages)


class RestoreIntent(_Intent, tag="restore"):
    """Go back to the packages of an earlier revision."""

    revision: Number

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return environments.restoring(name, self.revision)


class DescribeIntent(_Intent, tag="describe"):
    """Another description."""

    description: str

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return changes.Describe(description=self.description)


class ArchiveIntent(_Intent, tag="archive"):
    """Delete it: the history stays, and so does the name."""

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return changes.Archive()


class UnarchiveIntent(_Intent, tag="unarchive"):
    """Take it back."""

    def change(self, environments: Environments, name: str) -> Change:
        """The change of the service."""
        return changes.Unarchive()


# A union of classes, not of types: msgspec reads typing.Union of forward references, too.
Intent = Union[  # noqa: UP007
    CreateIntent,
    CloneIntent,
    InstallIntent,
    UninstallIntent,
    UpgradeIntent,
    RestoreIntent,
    DescribeIntent,
    ArchiveIntent,
    UnarchiveIntent,
]


class ChangeBody(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Either `change`, an intent, or `plan`, the id that a preview gave; `message` says why, for the history."""

    change: Intent | None = None
    plan: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    message: Text = ""
    via: Literal["lab", "magic", "widget"] = "lab"


class BuildBody(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Build what a revision needs on this machine; its head where no `revision` is given."""

    environment: str
    revision: Number | None = None


class VerifyBody(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Check the history and the files of a revision, of an environment, or of all; with `repair`, mend them."""

    environment: str | None = None
    revision: Number | None = None
    repair: bool = False


# Parameters


class ListQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """`archived`: deleted ones, too; `package`: those whose head has it, such as `numpy` or `numpy<2`. At most `limit`,
    from the one after the name `after` in the list."""

    archived: bool = False
    package: str | None = None
    limit: Limit = 1000
    after: str | None = None


class HistoryQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """The newest `limit` below number `before`; with `package`, those that changed it."""

    limit: Limit = 50
    before: Number | None = None
    package: str | None = None


class DiffQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, rename={"from_": "from"}):
    """From revision `from` to revision `to` (its head if not given); `to` is one of `other`, where that is named."""

    from_: Number | None = None
    to: Number | None = None
    other: str | None = None


class LimitQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """At most so many."""

    limit: Limit = 50


class LinesQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """So many lines from the end of the log."""

    lines: Annotated[int, Meta(ge=0, le=2000)] = 200


class SearchQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Packages that `query` may name: exactly, as a beginning or a part, or but for a typo; at most `limit`."""

    query: Annotated[str, Meta(min_length=1, max_length=200)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class PackageQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """For which minor version of Python; that of new environments where none is given."""

    python: str | None = None


class StayBody(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Whether a kernel keeps its revision when it is restarted."""

    stay: bool


class PreviewQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """`preview`: resolve and tell what would happen, and change nothing."""

    preview: bool = False


class NoQuery(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """No parameters."""


_ALWAYS = re.compile(r"token|no_track_activity|_xsrf|\d*")
"""Parameters that Jupyter's own requests carry: a login, and a number against caches."""


def _asked(specs: list[str], text: str | None) -> RequirementsTxt:
    """What was typed, and what a pasted requirements.txt says."""
    if text is None:
        return RequirementsTxt(requirements=tuple(specs))

    def nested(path: str, beside: Source) -> Source:
        raise ValueError("is another file, and is not read from a text that was pasted; paste it, too")

    found = checked(parse([Source(name="requirements.txt", data=text.encode(errors="replace"))], nested))
    return replace(found, requirements=found.and_also(specs))


def read_query(arguments: dict[str, list[bytes]], kind: type[_Asked]) -> _Asked:
    """The parameters of a request.

    Raises:
        InvalidParameter: one is unknown, doubled or does not fit.
    """
    values: dict[str, Any] = {}
    for key, given in arguments.items():
        if _ALWAYS.fullmatch(key):
            continue
        if len(given) > 1:
            raise _invalid(f"{key!r} is given more than once", key)
        text = given[0].decode(errors="replace")
        values[key] = (
            {"1": True, "true": True, "0": False, "false": False}.get(text, text) if _is_flag(kind, key) else text
        )
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _from(error) from error


def read_body(body: bytes, kind: type[_Asked]) -> _Asked:
    """The body of a request.

    Raises:
        InvalidInput: it is no JSON, or does not fit; `details["path"]` says where.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _from(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The request is no JSON: {error}.") from error


def _is_flag(kind: type[Any], key: str) -> bool:
    return any(item.encode_name == key and item.type is bool for item in msgspec.structs.fields(kind))


def _from(error: msgspec.ValidationError) -> InvalidInput:
    text, _, path = str(error).partition(" - at `")
    text = text.replace("Object contains", "It has an").replace("Object missing", "It lacks").replace("`", "'")
    return _invalid(text, path.rstrip("`").removeprefix("$").removeprefix("."))


def _invalid(text: str, path: str) -> InvalidInput:
    where = f" (at {path})" if path else ""
    return InvalidInput(f"The request cannot be meant: {text}{where}.", details={"path": path})

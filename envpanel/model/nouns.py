"""The nouns: what an environment is, who changed it, and the record of a revision."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from envpanel.errors import InvalidInput, InvalidName
from envpanel.model.diff import Diff

FORMAT = 1
"""The format of records that this envpanel writes. It reads newer ones as well as it can, and does not add to them."""

PYTHONS = ("3.11", "3.12", "3.13")
"""The minor versions of Python that environments can have, and that the bundled bases are resolved for."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Group(StrEnum):
    """What an environment is for. Screens write it in capitals and with a space."""

    FEATURE_ENGINEERING = "feature-engineering"
    MODEL_TRAINING = "model-training"
    MODEL_INFERENCE = "model-inference"

    @property
    def title(self) -> str:  # type: ignore[override]  # str.title() makes no sense of a group
        """As screens write it: `FEATURE ENGINEERING`."""
        return self.value.replace("-", " ").upper()


class Kind(StrEnum):
    """Bases are never changed; custom environments are."""

    BASE = "base"
    CUSTOM = "custom"


class Manager(StrEnum):
    """Which engine a package came through."""

    UV = "uv"
    CONDA = "conda"


class Origin(StrEnum):
    """What kind of source a package came from."""

    INDEX = "index"
    WHEEL = "wheel"
    GIT = "git"
    SDIST = "sdist"
    URL = "url"
    CONDA = "conda"
    COMMANDS = "commands"


class Via(StrEnum):
    """Through which edge a change came."""

    CLI = "cli"
    LAB = "lab"
    MAGIC = "magic"
    WIDGET = "widget"


class State(StrEnum):
    """Whether an environment's head can be used on this machine at once."""

    READY = "ready"
    NOT_BUILT = "not-built"
    BUILDING = "building"
    DAMAGED = "damaged"
    ARCHIVED = "archived"


def check_name(name: str) -> str:
    """The name itself where an environment may have it.

    Raises:
        InvalidName: with a suggestion where one can be made of it.
    """
    if is_name(name):
        return name
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    suggestion = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_-]+", "-", name.casefold())).strip("-_")
    suggestion = re.sub(r"^[^a-z]+", "", suggestion)[:64].rstrip("-_")
    raise InvalidName(
        f"{shown!r} cannot be the name of an environment: it must begin with a lower-case letter and hold "
        "only a-z, 0-9, '-' and '_', at most 64 characters.",
        hint=f"Try {suggestion!r}." if is_name(suggestion) else None,
    )


def is_name(name: str) -> bool:
    """Whether an environment may have this name."""
    return _NAME.fullmatch(name) is not None


def check_text(text: str, what: str, *, longest: int = 2000) -> str:
    """The text itself where it may stand in the history: `what` it is names it in the sentence.

    Raises:
        InvalidInput: too long, or with control characters or credentials in it.
    """
    if len(text) > longest:
        raise InvalidInput(f"The {what} is too long: {len(text)} characters, and at most {longest} are kept.")
    if not all(char.isprintable() or char == "\n" for char in text):
        raise InvalidInput(f"The {what} has characters in it that cannot be printed.")
    if re.search(r"://\S*@", text):
        raise InvalidInput(f"The {what} has the credentials of an address in it; the history would keep them.")
    return text


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who made a change. `verified`: a login of Jupyter or its hub vouches for it, not only the OS user."""

    username: str
    name: str
    verified: bool = False


@dataclass(frozen=True, kw_only=True)
class RevisionRef:
    """A revision of an environment by name and number; `NAME@3` on the command line."""

    name: str
    revision: int

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of a revision. `since` is the revision of its environment that brought this version."""

    name: str
    version: str
    manager: Manager = Manager.UV
    origin: Origin = Origin.INDEX
    requested: bool = False
    since: int = 1


def as_of(
    packages: Iterable[Package], *, requested: frozenset[str], number: int, parent: Iterable[Package] = ()
) -> tuple[Package, ...]:
    """These packages as revision `number` has them: which are asked for, and the revision that brought each version.

    `parent` are the packages of the revision before: what is the same there keeps its `since`.
    """
    before = {(item.name, item.version, item.manager, item.origin): item.since for item in parent}
    return tuple(
        replace(
            item,
            requested=item.name in requested,
            since=before.get((item.name, item.version, item.manager, item.origin), number),
        )
        for item in packages
    )


@dataclass(frozen=True, kw_only=True)
class Digests:
    """sha256, in hexadecimal, of the blobs that belong to a revision."""

    lock: str
    yaml: str
    log: str | None = None
    commands: str | None = None


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What people decided about an environment; changes apply to it. `requirements` are PEP 508, normalised."""

    kind: Kind
    group: Group
    description: str
    python: str
    requirements: tuple[str, ...]
    archived: bool = False


@dataclass(frozen=True, kw_only=True)
class Record:
    """A revision, as it is written once and never changed.

    `number` counts from 1 without gaps; `parent` is the number before it or None. `created` is UTC and ends in Z;
    `duration` is in seconds. `previous` is the digest of the record before; `digest` that of this one, over the
    canonical JSON of everything else. `id` is random and made before the first attempt to write: who finds
    the number taken by this id has written it.
    """

    id: str
    number: int
    parent: int | None
    environment: str
    kind: Kind
    group: Group
    description: str
    archived: bool = False
    base: RevisionRef | None = None
    cloned_from: RevisionRef | None = None
    restored_from: RevisionRef | None = None
    author: Author
    via: Via
    created: str
    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    python: str
    platform: str
    requirements: tuple[str, ...]
    packages: tuple[Package, ...]
    diff: Diff
    digests: Digests
    content_id: str
    salt: str | None = None
    duration: float = 0.0
    format: int = FORMAT
    previous: str | None = None
    digest: str = ""

    @property
    def ref(self) -> RevisionRef:
        """This revision by name and number."""
        return RevisionRef(name=self.environment, revision=self.number)

    @property
    def definition(self) -> Definition:
        """What people had decided as of this revision."""
        return Definition(
            kind=self.kind,
            group=self.group,
            description=self.description,
            python=self.python,
            requirements=self.requirements,
            archived=self.archived,
        )


@dataclass(frozen=True, kw_only=True)
class PlanWarning:
    """Something in a plan that a person would not expect.

    `code`: pre-release, old-version, yanked, built-from-source, downgraded, removed.
    """

    code: str
    package: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a change is. `done` of `total` are counted in `unit` ("MiB", "packages", "files"); 0 = not known."""

    phase: str
    done: float = 0
    total: float = 0
    unit: str = ""
    detail: str = ""

    def __str__(self) -> str:
        counts = ""
        if self.total:
            numbers = (f"{n:.1f}" if self.unit == "MiB" else f"{n:.0f}" for n in (self.done, self.total))
            counts = " {} of {}".format(*numbers) + (f" {self.unit}" if self.unit else "")
        return f"{self.phase}{counts}" + (f": {self.detail}" if self.detail else "")

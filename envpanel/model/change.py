"""Changes: what somebody wants of an environment, before anything is resolved.

A change is an intent. Applied to a definition it gives the definition that is wanted; where a colleague's change
comes first it is applied again to what that left, if its class says so (`follows_head`): a restore or an upgrade that
was decided in view of one revision would silently undo what came after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from packaging.utils import canonicalize_name

from envpanel.errors import EnvironmentArchived, InvalidRequirement, Refused
from envpanel.model import requirements
from envpanel.model.nouns import Definition, Group, Kind, RevisionRef


@dataclass(frozen=True, kw_only=True)
class Change(ABC):
    """An intent. `operation` names it in records; `resolves`: packages may come out of it that nothing has yet."""

    operation: ClassVar[str]
    follows_head: ClassVar[bool] = False
    resolves: ClassVar[bool] = False

    @abstractmethod
    def apply(self, definition: Definition) -> Definition:
        """The definition that is wanted, given what there is.

        Raises:
            EnvPanelError: a sentence, where the change makes no sense of this definition.
        """

    @property
    def arguments(self) -> dict[str, Any]:
        """What was asked for, as JSON values, for the record; bounds where there were any."""
        bounds = ("constraints", "hashes")
        return {key: _plain(value) for key, value in asdict(self).items() if value or key not in bounds}


@dataclass(frozen=True, kw_only=True)
class Create(Change):
    """A new environment of these requirements; `constraints` and `hashes` as in `Install`."""

    operation = "create"
    resolves = True
    kind: Kind
    group: Group
    description: str
    python: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, definition: Definition | None = None) -> Definition:
        """Starts from nothing: `definition` is not looked at."""
        return Definition(
            kind=self.kind,
            group=self.group,
            description=self.description,
            python=self.python,
            requirements=requirements.merge((), self.requirements),
        )


@dataclass(frozen=True, kw_only=True)
class Clone(Change):
    """A new custom environment with the package set of `source`. Applies to the definition of the source."""

    operation = "clone"
    source: RevisionRef
    description: str | None = None

    def apply(self, definition: Definition) -> Definition:
        description = definition.description if self.description is None else self.description
        return replace(definition, kind=Kind.CUSTOM, description=description, archived=False)


@dataclass(frozen=True, kw_only=True)
class Install(Change):
    """Ask for packages; a requirement of the same name and marker is replaced.

    What a requirements file says besides holds for this change alone: `constraints` bound the versions of whatever
    comes with it, `hashes` are, for a name, the sha256 of which its file has to have one.
    """

    operation = "install"
    follows_head = True
    resolves = True
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, *specs: str) -> Install:
        """Of specifications as they were typed.

        Raises:
            InvalidRequirement: one of them is not one.
        """
        return cls(requirements=tuple(requirements.normalise(spec) for spec in specs))

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        merged = requirements.merge(definition.requirements, self.requirements)
        return replace(definition, requirements=merged)


@dataclass(frozen=True, kw_only=True)
class Uninstall(Change):
    """No longer ask for these packages. Whether others need them shows only when the rest is resolved."""

    operation = "uninstall"
    follows_head = True
    resolves = True
    packages: tuple[str, ...]

    @classmethod
    def of(cls, *specs: str) -> Uninstall:
        """Of names as they were typed.

        Raises:
            InvalidRequirement: one is not a name, or more than a name.
        """
        return cls(packages=names(specs))

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        return replace(definition, requirements=requirements.without(definition.requirements, self.packages))


@dataclass(frozen=True, kw_only=True)
class Upgrade(Change):
    """Take the newest versions that the requirements allow, of these packages or, when none is named, of all."""

    operation = "upgrade"
    resolves = True
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, *specs: str) -> Upgrade:
        """Of names as they were typed.

        Raises:
            InvalidRequirement: one is not a name, or more than a name.
        """
        return cls(packages=names(specs))

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        return definition


@dataclass(frozen=True, kw_only=True)
class Restore(Change):
    """Go back to the package set of an earlier revision. `requirements` and `python` are that revision's."""

    operation = "restore"
    revision: int
    requirements: tuple[str, ...]
    python: str

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        return replace(definition, requirements=self.requirements, python=self.python)

    @property
    def arguments(self) -> dict[str, Any]:
        """The number only: the rest stands in the record of that number."""
        return {"revision": self.revision}


@dataclass(frozen=True, kw_only=True)
class Describe(Change):
    """Another description."""

    operation = "describe"
    follows_head = True
    description: str

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        return replace(definition, description=self.description)


@dataclass(frozen=True, kw_only=True)
class Archive(Change):
    """Put it away: the history stays, and so does the name."""

    operation = "archive"
    follows_head = True

    def apply(self, definition: Definition) -> Definition:
        _alive(definition)
        return replace(definition, archived=True)


@dataclass(frozen=True, kw_only=True)
class Unarchive(Change):
    """Take it out again."""

    operation = "unarchive"
    follows_head = True

    def apply(self, definition: Definition) -> Definition:
        if not definition.archived:
            raise Refused("It is not deleted, so there is nothing to unarchive.")
        return replace(definition, archived=False)


def names(specs: tuple[str, ...]) -> tuple[str, ...]:
    """Bare package names, PEP 503, without doubles and in the order given.

    Raises:
        InvalidRequirement: for anything that is more than a name.
    """
    for spec in specs:
        parsed = requirements.parse(spec)
        if parsed.specifier or parsed.extras or parsed.marker:
            raise InvalidRequirement(f"{spec!r} is more than a name.", hint=f"Give the name alone: {parsed.name!r}.")
    return tuple(dict.fromkeys(canonicalize_name(requirements.parse(spec).name) for spec in specs))


def _alive(definition: Definition) -> None:
    if definition.archived:
        raise EnvironmentArchived("The environment was deleted.", hint="Take it back first: envpanel unarchive NAME.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value

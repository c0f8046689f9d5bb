"""Plans: a change resolved against a head, not yet applied: what the packages will be, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from envpanel.errors import RecordDamaged
from envpanel.model import change as changes
from envpanel.model import requirements, wire
from envpanel.model.change import Change
from envpanel.model.diff import Diff, diff
from envpanel.model.lock import Lock, packages_of
from envpanel.model.nouns import Definition, Package, PlanWarning, Record, as_of
from envpanel.model.target import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a change does to `head` (None: it makes a new environment).

    What it comes to is either a `lock` that was resolved, or that of `source`, a revision there is: a clone, a restore
    and a change of the description read no lock and take no longer with more packages. `before` are the
    packages that the diff is against; `wheels` the files that the home has to keep, by sha256.
    """

    environment: str
    change: Change
    head: Record | None
    definition: Definition
    lock: Lock | None = None
    source: Record | None = None
    before: tuple[Package, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    wheels: Mapping[str, Path] = field(default_factory=dict)

    @property
    def _content(self) -> Lock | Record:
        content = self.source if self.lock is None else self.lock
        assert content is not None, "a plan has a lock or a source"
        return content

    @property
    def number(self) -> int:
        """The number of the revision that it makes."""
        return 1 if self.head is None else self.head.number + 1

    @property
    def python(self) -> str:
        """The minor version of Python."""
        return self._content.python

    @property
    def platform(self) -> str:
        """The platform of the files."""
        return self._content.platform

    @property
    def content_id(self) -> str:
        """The identity of what is to be built."""
        content = self._content
        return content.content_id if isinstance(content, Record) else content.content_id()

    # Asked for several times, and as long as there are packages.
    @cached_property
    def packages(self) -> tuple[Package, ...]:
        """The packages of the revision."""
        environment = Target(python=self.python).environment
        requested = requirements.requested_names(self.definition.requirements, environment)
        # `since` counts this environment's own revisions: what a clone was cloned with came with its first.
        parent = self.head.packages if self.head is not None else ()
        content = self._content
        if isinstance(content, Record):
            return as_of(content.packages, requested=requested, number=self.number, parent=parent)
        return packages_of(content, requested=requested, number=self.number, parent=parent)

    @cached_property
    def diff(self) -> Diff:
        """What is different from before."""
        python = self.head.python if self.head is not None else None
        return diff(self.before, self.packages, old_python=python, new_python=self.python)

    @property
    def changes_nothing(self) -> bool:
        """Whether a revision of it would say nothing: the same decisions, the same files."""
        if self.head is None:
            return False
        if isinstance(self.change, changes.Restore) and self.change.revision != self.head.number:
            return False
        return self.definition == self.head.definition and self.content_id == self.head.content_id


@dataclass(frozen=True, kw_only=True)
class SavedPlan:
    """A plan as it is kept: the change, the revision that it was made for, and the digest of its lock.

    Its id is the digest of just this; the diff follows from it.
    """

    environment: str
    change: Change
    head: int | None
    head_digest: str | None
    lock: str

    def to_json(self) -> bytes:
        """The bytes to keep; their sha256 is the plan's id."""
        content = {
            "environment": self.environment,
            "change": {"operation": self.change.operation, **wire.plain(self.change)},
            "head": None if self.head is None else {"number": self.head, "digest": self.head_digest},
            "lock": self.lock,
        }
        return wire.canonical(content)

    @classmethod
    def from_json(cls, content: Any) -> SavedPlan:
        """The plan that `to_json` wrote.

        Raises:
            RecordDamaged: it is not one.
        """
        try:
            head = content["head"] or {}
            kind = _CHANGES[content["change"]["operation"]]
            return cls(
                environment=content["environment"],
                change=wire.read(content["change"], kind),
                head=head.get("number"),
                head_digest=head.get("digest"),
                lock=content["lock"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordDamaged(f"It is not a plan ({error}).") from error


_CHANGES: dict[str, type[Change]] = {
    kind.operation: kind
    for kind in (
        changes.Create,
        changes.Clone,
        changes.Install,
        changes.Uninstall,
        changes.Upgrade,
        changes.Restore,
        changes.Describe,
        changes.Archive,
        changes.Unarchive,
    )
}

"""The exceptions of envpanel: what happened, to what, and what to do, each in one sentence for the user.

EnvPanelError
 ├─ InvalidInput           what was typed cannot be meant
 │   ├─ InvalidName           a name of an environment
 │   ├─ InvalidRequirement    a package specification
 │   └─ InvalidSettings       settings.yaml, or a variable of the environment
 ├─ NotFound               an environment, revision, plan or package that does not exist
 ├─ Refused                understood, and not allowed as things stand
 │   ├─ NameTaken
 │   ├─ BaseImmutable
 │   ├─ EnvironmentArchived
 │   ├─ StillNeeded           other packages need what was to be uninstalled
 │   ├─ OtherPlatform         the revision was locked for another platform
 │   ├─ FormatTooNew          a newer envpanel wrote here
 │   └─ HeadMoved             a colleague's change came first
 ├─ Failed                 tried, and it did not work; nothing was changed
 │   ├─ Unsatisfiable
 │   ├─ EngineFailed          the resolver or installer stopped; its log tells
 │   ├─ IndexUnreachable      a package index did not answer, or refused
 │   ├─ Cancelled
 │   └─ InterpreterNotFound
 └─ StoreError             the home could not be read or written
     ├─ KeyMissing
     ├─ KeyExists
     └─ RecordDamaged

They are raised low and translated once at each edge: the command line turns them into a line and an exit code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class EnvPanelError(Exception):
    """A sentence for the user.

    `code` names the class on the wire; `hint` says what to do next; `log` is the path of a log that tells more;
    `details` are further JSON values for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        log: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log
        self.details = dict(details or {})


class InvalidInput(EnvPanelError):
    """What was typed cannot be meant."""

    code = "invalid-input"


class InvalidName(InvalidInput):
    """The name does not match `[a-z][a-z0-9_-]{0,63}`."""

    code = "invalid-name"


class InvalidRequirement(InvalidInput):
    """Not a package specification that envpanel takes."""

    code = "invalid-requirement"


class InvalidSettings(InvalidInput):
    """settings.yaml, or a variable, holds something that cannot be meant."""

    code = "invalid-settings"


class NotFound(EnvPanelError):
    """No such environment, revision, plan or package."""

    code = "not-found"


class Refused(EnvPanelError):
    """Understood, and not allowed as things stand."""

    code = "refused"


class NameTaken(Refused):
    """Another environment, perhaps an archived one, has this name."""

    code = "name-taken"


class BaseImmutable(Refused):
    """Base environments are never changed: clone one to customise it."""

    code = "base-immutable"


class EnvironmentArchived(Refused):
    """The environment was deleted; unarchive it first."""

    code = "archived"


class StillNeeded(Refused):
    """Other packages need what was to be uninstalled."""

    code = "still-needed"


class OtherPlatform(Refused):
    """The revision was locked for another platform than this machine's."""

    code = "other-platform"


class FormatTooNew(Refused):
    """A newer envpanel wrote here; this one reads but does not write."""

    code = "format-too-new"


class HeadMoved(Refused):
    """A colleague's change came first; `details["diff"]` is what came in between, or what the change would do now."""

    code = "head-moved"


class Failed(EnvPanelError):
    """Tried, and it did not work; nothing was changed."""

    code = "failed"


class Unsatisfiable(Failed):
    """No set of packages meets all requirements."""

    code = "unsatisfiable"


class EngineFailed(Failed):
    """The resolver or the installer stopped."""

    code = "engine-failed"


class IndexUnreachable(Failed):
    """A package index did not answer, or refused, and nothing is known of it from before."""

    code = "index-unreachable"


class Cancelled(Failed):
    """Somebody cancelled it."""

    code = "cancelled"


class InterpreterNotFound(Failed):
    """No Python of the wanted minor version is on this machine."""

    code = "interpreter-not-found"


class StoreError(EnvPanelError):
    """The home could not be read or written."""

    code = "store"


class KeyMissing(StoreError):
    """Nothing is stored under this key."""

    code = "key-missing"


class KeyExists(StoreError):
    """Something is stored under this key already (the create-only put was second)."""

    code = "key-exists"


class RecordDamaged(StoreError):
    """A record or blob does not hold what its digest says."""

    code = "damaged"

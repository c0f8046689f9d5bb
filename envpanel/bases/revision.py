"""The revisions of a bundled base in a home: the first at its first use, another when a newer bundle comes along."""

from __future__ import annotations

from envpanel import __version__
from envpanel.bases.bundle import Base
from envpanel.model import environment_yml, wire
from envpanel.model.change import Create
from envpanel.model.nouns import FORMAT, Author, Digests, Kind, Record, Via
from envpanel.model.plan import Plan
from envpanel.model.target import Target, default_python


def bundled_revision(base: Base, head: Record | None = None) -> tuple[Record, dict[str, bytes]]:
    """A draft of the record that comes after `head` (None: of the first), and the blobs that it names, by digest.

    It is for this platform, and for the Python of the head, the first one for the default Python. `id` is empty, and
    `created` the day of the base's lock: who writes it sets both.

    Raises:
        OtherPlatform: the base is not to be had here.
    """
    python = head.python if head is not None else default_python()
    lock = base.lock(Target(python=python))
    change = Create(
        kind=Kind.BASE,
        group=base.group,
        description=base.description,
        python=python,
        requirements=base.requirements,
    )
    before = head.packages if head is not None else ()
    plan = Plan(environment=base.name, change=change, head=head, definition=change.apply(), lock=lock, before=before)
    files = [lock.to_toml().encode(), environment_yml.dump(base.name, lock).encode()]
    digests = [wire.sha256(data) for data in files]
    record = Record(
        id="",
        number=plan.number,
        parent=head.number if head is not None else None,
        environment=base.name,
        kind=Kind.BASE,
        group=base.group,
        description=base.description,
        author=Author(username="envpanel", name=f"envpanel {__version__}", verified=True),
        via=Via.CLI,
        created=f"{base.bundle}T00:00:00Z",
        operation="bundle",
        arguments={"bundle": base.bundle},
        python=python,
        platform=lock.platform,
        requirements=plan.definition.requirements,
        packages=plan.packages,
        diff=plan.diff,
        digests=Digests(lock=digests[0], yaml=digests[1]),
        content_id=plan.content_id,
        format=max(FORMAT, head.format if head is not None else 0),
        previous=head.digest if head is not None else None,
    )
    return record, dict(zip(digests, files, strict=True))


def is_newer(base: Base, head: Record) -> bool:
    """Whether the bundle has something newer than this revision of the base; never the other way round."""
    return str(head.arguments.get("bundle", "")) < base.bundle

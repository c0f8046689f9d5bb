"""The first revision of a bundled base in a home: what is written at its first use, and shown before."""

from __future__ import annotations

from envpanel import __version__
from envpanel.bases.bundle import Base
from envpanel.model import environment_yml, wire
from envpanel.model.change import Create
from envpanel.model.nouns import Author, Digests, Kind, Record, Via
from envpanel.model.plan import Plan
from envpanel.model.target import Target, default_python


def first_revision(base: Base) -> tuple[Record, dict[str, bytes]]:
    """A draft of the record, for this platform and the default Python, and the blobs that it names, by digest.

    `id` is empty, and `created` the day of the base's lock: who writes it sets both.

    Raises:
        OtherPlatform: the base is not to be had here.
    """
    python = default_python()
    lock = base.lock(Target(python=python))
    change = Create(
        kind=Kind.BASE,
        group=base.group,
        description=base.description,
        python=python,
        requirements=base.requirements,
    )
    plan = Plan(environment=base.name, change=change, head=None, definition=change.apply(), lock=lock)
    files = [lock.to_toml().encode(), environment_yml.dump(base.name, lock).encode()]
    digests = [wire.sha256(data) for data in files]
    record = Record(
        id="",
        number=1,
        parent=None,
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
    )
    return record, dict(zip(digests, files, strict=True))

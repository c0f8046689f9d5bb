"""The YAML file of a revision: an environment.yml of exact pins, for people and for other tools."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from envpanel.model.lock import Lock


def dump(name: str, lock: Lock) -> str:
    """The environment.yml that names exactly what the lock holds; no address, and so no secret, is in it."""
    pins = [
        f"./wheels/{package.file}" if package.kept else f"{package.name}=={package.version}"
        for package in lock.packages
    ]
    document = {
        "name": name,
        "channels": ["conda-forge"],
        "dependencies": [f"python={lock.python}", "pip", *([{"pip": pins}] if pins else [])],
    }
    return _dump(document)


def renamed(text: str, name: str) -> str:
    """The same for an environment of another name: `dump` writes that first, on a line of its own."""
    first, _, rest = text.partition("\n")
    assert first.startswith("name: "), "not a file that dump wrote"
    return _dump({"name": name}) + rest


def _dump(document: Mapping[str, object]) -> str:
    # PyYAML's C writer is the faster one, and not in every build of it.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000)

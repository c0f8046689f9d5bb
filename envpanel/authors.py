"""Who makes a change, where no login says so: the user of a hub, else the OS user; vouched for by nobody."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from envpanel.model.nouns import Author


def os_author(environ: Mapping[str, str]) -> Author:
    """The author as the operating system, or the hub that has set `JUPYTERHUB_USER`, knows it."""
    try:
        entry = pwd.getpwuid(os.getuid())
        username, name = entry.pw_name, entry.pw_gecos.split(",")[0].strip()
    except KeyError:
        # A container often runs as a number that has no name.
        username = name = str(os.getuid())
    if hub_user := environ.get("JUPYTERHUB_USER"):
        username = name = hub_user
    return Author(username=username, name=name or username)

"""Leases: what keeps a prefix from being removed while something runs in it."""

from __future__ import annotations

import fcntl
import os

from envpanel.prefixes.prefix import Prefix


def hold(prefix: Prefix) -> int:
    """A shared flock on the READY file, as a file descriptor that programs started by exec inherit.

    It ends with the last process that has it open, however that ends.
    """
    descriptor = os.open(prefix.ready, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    return descriptor

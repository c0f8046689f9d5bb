"""Prefixes: the built directories of this machine, made once, never changed, shared by all revisions that need them."""

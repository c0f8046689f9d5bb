"""Engines: what resolves requirements into a lock and builds a lock into a directory."""

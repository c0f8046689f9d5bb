"""The history: immutable records in a store, each of which names the one before."""

"""The packages that the indexes have: names to search, versions to choose from, with a local cache."""

"""The server extension: the verbs over REST, events, and the builds that run in this server."""

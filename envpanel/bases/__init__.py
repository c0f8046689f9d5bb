"""The base environments that come with envpanel: one YAML and one file of pins each."""

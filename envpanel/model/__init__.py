"""The nouns of envpanel: values without files, processes or network."""

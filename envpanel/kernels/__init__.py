"""What starts in environments: kernels, through Jupyter or without it, and the programs of `envpanel run`."""

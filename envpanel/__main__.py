"""`python -m envpanel`: the command line."""

from envpanel.cli import main

main()

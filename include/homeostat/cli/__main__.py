"""``python -m homeostat.cli``."""

from homeostat.cli.app import main

main()

"""``python -m vexrepo.cli``."""

from vexrepo.cli import main

main()

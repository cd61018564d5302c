"""``python -m vexrepo``."""

from vexrepo.cli import main

main()

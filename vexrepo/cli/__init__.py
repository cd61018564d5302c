"""The command line: the only place that reads the environment, the terminal, the clock and the home folder."""

from __future__ import annotations


def main() -> None:
    """Run ``vex`` with the process's arguments and exit."""
    import sys

    try:
        from vexrepo.cli.app import vex
    except KeyboardInterrupt:
        sys.exit(130)
    vex.main(prog_name="vex")

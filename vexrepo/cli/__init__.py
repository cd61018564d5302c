"""The command line: the only place that reads the environment, the terminal, the clock and the home folder."""

from __future__ import annotations

# A command makes many objects and keeps few: looking for cycles among them every 700 costs a tenth of a commit.
COLLECTOR = (200_000, 50, 100)


def main() -> None:
    """Run ``vex`` with the process's arguments and exit."""
    import gc
    import sys

    gc.set_threshold(*COLLECTOR)
    # glibc gives freed blocks back to the system at once, and pays for every page of the next, until it has seen one as
    # large as this freed: leaves are megabytes, and clearing fresh pages took a fifth of a diff.  Nothing is touched.
    bytes(31 << 20)
    try:
        from vexrepo.cli.app import vex

        vex.main(prog_name="vex")
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        _end_over_threads(end.code if isinstance(end.code, int) else 0)
        raise
    finally:
        gc.freeze()  # else the interpreter looks through all there is once more before it ends
        # An interruption within the exec of a text, as NamedTuple makes classes, is remembered until the next exec:
        # python -m would end by signal 2 in place of our exit code, whatever became of it.
        exec("")


def _end_over_threads(code: int) -> None:
    """End now where threads were left in the middle of something: the interpreter's own end may break over them."""
    import os
    import sys

    apart = sys.modules.get("vexrepo.storage.apart")
    if apart is not None and apart.has_left():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

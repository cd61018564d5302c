#!/usr/bin/env python3
"""Write objects/vmig.schema.json and objects/vmig.d.ts from the table in vexrepo/formats/schema.py.

``python docs/dev/make_schema.py --write`` writes them; without it, the exit code is 1 if one is out of date.
"""

import argparse
import sys
from pathlib import Path

from vexrepo.formats import schema

ROOT = Path(__file__).resolve().parents[2]


def files() -> dict[Path, str]:
    """Return the content of every file this script writes."""
    folder = ROOT / "objects"
    return {folder / "vmig.schema.json": schema.json_schema_text(), folder / "vmig.d.ts": schema.typescript()}


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    stale = []
    for path, text in files().items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if write:
            path.write_text(text, "utf-8")
    print(f"{'wrote' if write else 'out of date'}: {', '.join(stale)}" if stale else "all up to date")
    sys.exit(1 if stale and not write else 0)


if __name__ == "__main__":
    main()

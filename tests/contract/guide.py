"""The package that docs/guides/write-a-connector.md writes, made of the blocks that are printed there."""

import importlib.util
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from types import ModuleType

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "write-a-connector.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


def install(folder: Path) -> None:
    """Put the guide's files into a folder, with what an installer notes of the package."""
    files: dict[str, str] = {}
    for block in blocks("python"):  # the first line of each names the file that it goes on with
        name, _, rest = block.partition("\n")
        files[name.removeprefix("# ")] = files.get(name.removeprefix("# "), "") + rest + "\n\n"
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    (project,) = blocks("toml")
    noted = folder / "shelf-1.0.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    groups = tomllib.loads(project)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for group, points in groups.items()]
    (noted / "entry_points.txt").write_text("".join(lines))


def load(name: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_HELD = tempfile.TemporaryDirectory(prefix="vex-guide-")
FOLDER = Path(_HELD.name)
install(FOLDER)
load("shelf", FOLDER)
TESTS = load("test_shelf", FOLDER)

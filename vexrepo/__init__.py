"""Version control for what AI agents remember.

``Repository`` is the public interface; it is imported when first asked for, so that
``import vexrepo`` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vexrepo.repository import Repository

__all__ = ["Repository", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Repository":
        from vexrepo.repository import Repository

        return Repository
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

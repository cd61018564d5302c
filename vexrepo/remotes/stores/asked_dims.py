"""Dimensions that an address asks for, ``?dims=384``: for a new collection, of memories that may have no vectors."""

from __future__ import annotations

from collections.abc import Mapping

from vexrepo.errors import StoreError, UsageError
from vexrepo.objects.vector import MAIN, Space
from vexrepo.remotes.stores.address import Address


def parse_dims(address: Address, most: int) -> int:
    """Return the dimensions that an address asks for, 0 where it does not.  Raises: UsageError (bad-address)."""
    text = address.options.get("dims", "0")
    dims = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not 0 <= dims <= most:
        raise UsageError(f"{address}: dims is {text!r:.40}, expected 1 to {most}", code="bad-address")
    return dims


def with_dims(spaces: Mapping[str, Space], dims: int, address: Address) -> dict[str, Space]:
    """Return the vectors of memories with the main one as the address asks.  Raises: StoreError (store-dims)."""
    main = spaces.get(MAIN)
    if dims and main is not None and main.dims not in (0, dims):
        raise StoreError(
            f"{address} asks for {dims} dimensions, and the memories have vectors of {main.dims}; nothing was written: "
            "leave ?dims= out",
            code="store-dims",
        )
    return {MAIN: Space(MAIN, "dense", None, dims, "f32"), **spaces} if dims else dict(spaces)


def no_dims(address: Address, most: int) -> StoreError:
    """Return the error for a collection that is to be made where nothing says for how many dimensions."""
    return StoreError(
        f"{address} is to be made, and no memory has a vector of 1 to {most:,} dimensions that says for how many; "
        "nothing was written: say it in the address, ?dims=384, or write memories with such vectors",
        code="store-cannot-hold",
    )

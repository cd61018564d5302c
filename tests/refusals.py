"""What tests of refusals share."""

from collections.abc import Callable
from typing import Any

import pytest

from vexrepo.errors import VexError


def refused(call: Callable[[], Any], code: str, *words: str) -> None:
    """Check that a call is refused with a code, in a message that has some words."""
    with pytest.raises(VexError) as caught:
        call()
    assert caught.value.code == code, caught.value
    assert all(word in str(caught.value) for word in words), str(caught.value)

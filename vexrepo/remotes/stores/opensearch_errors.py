"""What an error of OpenSearch or Elasticsearch says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vexrepo.errors import StoreError
from vexrepo.remotes.answer import Answer


def reason(answer: Answer) -> str:
    """Return why the server did not do what it was asked."""
    try:
        error = answer.fields().value.get("error")
    except StoreError:
        error = None
    return said(error) if isinstance(error, dict) else answer.words() or "no reason given"


def said(error: Mapping[str, Any]) -> str:
    """Return what an error says, with its cause."""
    cause = error.get("caused_by")
    words = [str(each.get("reason")) for each in (error, cause) if isinstance(each, dict) and each.get("reason")]
    return ": ".join(words)[:300] or str(error.get("type"))

"""Characters that show nothing, turn the reading direction, or look like others."""

from __future__ import annotations

import re

# Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers, Mongolian and other variation selectors,
# zero-width space to right-to-left mark, bidirectional controls, word joiner and invisible operators, fillers, byte
# order mark, interlinear marks, musical format controls, tags, and the second block of variation selectors.
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
INVISIBLE = re.compile(f"[{_HIDDEN}]")

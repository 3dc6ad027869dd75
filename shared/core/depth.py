"""Is a JSON body nested too deep? Decided from its bytes, before it is parsed."""

import re

from shared.core.cleaning import MAX_JSON_DEPTH

# Strings are stepped over as a whole (an escaped quote ends none); possessive, so that the time is linear.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_OPENING = (b"[", b"{")


def is_too_deep(body: bytes, *, most: int = MAX_JSON_DEPTH) -> bool:
    """Return whether brackets are nested deeper than `most` levels."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(body):
        token = found[0]
        if token in _OPENING:
            depth += 1
            if depth > most:
                return True
        elif token[0] != 0x22:
            depth -= 1
    return False

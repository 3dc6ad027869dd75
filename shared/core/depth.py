"""Checks how deeply a JSON body is nested, from its bytes, before it is parsed."""

import re

from shared.core.cleaning import MAX_JSON_DEPTH

# Strings are skipped as a whole (an escaped quote does not end one); possessive, so that the time is linear.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_OPENING = (b"[", b"{")


def is_too_deep(body: bytes, *, most: int = MAX_JSON_DEPTH) -> bool:
    """Return whether brackets are nested more than `most` levels deep."""
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

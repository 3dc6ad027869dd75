"""The rules for new passwords: any characters, but nothing that a list or a person's own names would reveal.

A password is compared and hashed in its normal form (NFKC), so it is the same from every keyboard. Lengths are in code points.

The list of passwords and the estimate are those of `zxcvbn`, which takes 30 ms to import: only the first check of a process does.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

SHORTEST, LONGEST = 8, 256
LONG_ENOUGH = 15
"""A password of this many code points is not estimated: length makes up for words (NIST SP 800-63B-4, section 3.1.1.2)."""
FEWEST_GUESSES = 10**8
"""How many guesses a shorter one must withstand: as many as eight random characters do by `zxcvbn`'s estimate."""
MOST_ESTIMATED = 72
"""How many code points are estimated. `zxcvbn` refuses more, and its time grows faster than the length."""
_SHORTEST_NAME = 4
"""Shorter names are part of other words: "Ada" of "Canada"."""


class Weakness(StrEnum):
    """Why a password is refused."""

    TOO_SHORT = "too_short"
    COMMON = "common"
    PERSONAL = "personal"
    GUESSABLE = "guessable"
    LEAKED = "leaked"


@dataclass(frozen=True, slots=True)
class Person:
    """What others know of the person who chooses a password."""

    email: str
    name: str = ""
    organizations: tuple[str, ...] = ()


def normal_form(password: str) -> str:
    """Return the form in which a password is compared and hashed."""
    return unicodedata.normalize("NFKC", password)


def find_weakness(password: str, person: Person) -> Weakness | None:
    """Return why this person may not choose this password; None if they may."""
    form = normal_form(password)
    if len(form) < SHORTEST:
        return Weakness.TOO_SHORT
    if _is_common(form):
        return Weakness.COMMON
    names = [normal_form(name).casefold() for name in _names(person)]
    if _contains_any(_letters(form), names):
        return Weakness.PERSONAL
    if len(form) < LONG_ENOUGH and _guesses(form, names) < FEWEST_GUESSES:
        return Weakness.GUESSABLE
    return None


def _is_common(form: str) -> bool:
    from zxcvbn.matching import RANKED_DICTIONARIES

    return form.casefold() in RANKED_DICTIONARIES["passwords"]


def _guesses(form: str, names: Iterable[str]) -> float:
    """Estimate how many guesses a password withstands, where the words of these names are tried first."""
    from zxcvbn import zxcvbn

    words = {word for name in names for word in re.findall(r"[^\W_]+", name)}
    return float(zxcvbn(form[:MOST_ESTIMATED], user_inputs=sorted(words))["guesses"])


def _contains_any(letters: str, names: Iterable[str]) -> bool:
    wanted = map(_letters, names)
    return any(len(name) >= _SHORTEST_NAME and name in letters for name in wanted)


def _names(person: Person) -> Iterator[str]:
    """Yield what a password must not contain; the top-level domain is in too many words."""
    local_part, _, domain = person.email.partition("@")
    yield from ("roost", local_part, local_part.partition("+")[0], *domain.split(".")[:-1])
    yield from (person.name, *person.name.split(), *person.organizations)


def _letters(form: str) -> str:
    return "".join(character for character in form.casefold() if character.isalnum())

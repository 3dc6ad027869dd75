"""Chooses the statements of a connection that are prepared under a name, so that the server parses and plans them once.

A statement gets a name at its second use, so one that is used once, such as an INSERT with an unusual number of rows, takes
neither the server's memory nor another statement's place. The least recently used statement makes room for the next, because
connections live long: statements of the first hour's sweep must not take the place of today's requests.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The server has memory for this many on each connection: `tests/database/test_plans.py` measures it.
MOST_PREPARED = 36
# How many once-used statements are remembered, by the hash of their text.
_MOST_SEEN = 256

Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that the server knows by `name`; `columns` is None if it returns no rows."""

    name: bytes
    columns: list[dict[str, Any]] | None
    readers: Sequence[Any]


class PreparedStatements:
    """The prepared statements of one connection: at most `most`, which may be 0."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[Key, Prepared] = OrderedDict()
        self._seen: OrderedDict[Key, None] = OrderedDict()
        self._unwanted: list[bytes] = []
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: Key) -> Prepared | None:
        """Return the statement if it is prepared, and record its use."""
        found = self._known.get(key)
        if found:
            self._known.move_to_end(key)
        return found

    def name_for(self, key: Key) -> bytes | None:
        """Return a new name at the statement's second use, when it is to be prepared; None otherwise."""
        if not self.most:
            return None
        if key not in self._seen:
            self._seen[key] = None
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
            return None
        self._last_number += 1
        return b"roost_%d" % self._last_number

    def keep(self, key: Key, prepared: Prepared) -> None:
        """Record a prepared statement. If there are too many, drop the least recently used one."""
        self._seen.pop(key, None)
        self._known[key] = prepared
        if len(self._known) > self.most:
            _, evicted = self._known.popitem(last=False)
            self.give_up(evicted.name)

    def give_up(self, name: bytes) -> None:
        """Drop a statement; the next message tells the server."""
        self._unwanted.append(name)

    def forget_all(self) -> None:
        """Drop all statements. Each is prepared again at its next use."""
        self._unwanted += [prepared.name for prepared in self._known.values()]
        self._seen.update(dict.fromkeys(self._known))
        self._known.clear()

    def take_unwanted(self) -> list[bytes]:
        """Return the names that the server must close, each once."""
        taken, self._unwanted = self._unwanted, []
        return taken

"""Which statements of a connection are prepared under a name, so that the server parses, describes and plans them once.

A statement gets a name at its second use: one that is used once, such as an INSERT with an unusual number of rows, takes
neither the server's memory nor the place of another. The least recently used one makes room for the next, because a
connection outlives what it did first: the first hour's sweep must not hold the names that today's requests need.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The server has the memory for this many on each connection: `tests/database/test_plans.py` measures it.
MOST_PREPARED = 64
# Statements that were used once; a text is remembered by its hash and is a few kilobytes long.
_MOST_SEEN = 256

Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that the server knows by `name`; `columns` is None where it returns no rows."""

    name: bytes
    columns: list[dict[str, Any]] | None
    readers: Sequence[Any]


class PreparedStatements:
    """The prepared statements of one connection, at most `most`; none with 0."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Key, Prepared] = OrderedDict()
        self._seen: OrderedDict[Key, None] = OrderedDict()
        self._unwanted: list[bytes] = []
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: Key) -> Prepared | None:
        """Return the statement if it is prepared, and note that it was used."""
        found = self._known.get(key)
        if found:
            self._known.move_to_end(key)
        return found

    def name_for(self, key: Key) -> bytes | None:
        """Return a name that was never used if the statement is to be prepared now: at its second use."""
        if not self._most:
            return None
        if key not in self._seen:
            self._seen[key] = None
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
            return None
        self._last_number += 1
        return b"roost_%d" % self._last_number

    def keep(self, key: Key, prepared: Prepared) -> None:
        """Remember what the server has prepared; the least recently used one goes if there are too many."""
        self._seen.pop(key, None)
        self._known[key] = prepared
        if len(self._known) > self._most:
            _, evicted = self._known.popitem(last=False)
            self.give_up(evicted.name)

    def give_up(self, name: bytes) -> None:
        """Have the server forget a statement, with the next message to it."""
        self._unwanted.append(name)

    def forget_all(self) -> None:
        """Have the server forget all statements. Each is prepared again at its next use."""
        self._unwanted += [prepared.name for prepared in self._known.values()]
        self._seen.update(dict.fromkeys(self._known))
        self._known.clear()

    def take_unwanted(self) -> list[bytes]:
        """Return the names that the server may forget, once."""
        taken, self._unwanted = self._unwanted, []
        return taken

"""How a test learns what a piece of code costs in SQL statements and round trips.

with count_statements() as cost:
    list_posts(session, organization_id)
assert cost.statements == 1
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from sqlalchemy import Engine, event

from shared.db.wire import WireConnection

_SAVEPOINTS = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")
_TRANSACTIONS = ("begin", "commit", "rollback")


@dataclass
class Cost:
    """What was sent. A test's savepoints count as the BEGIN and COMMIT they stand for."""

    sql: list[str] = field(default_factory=list)
    trips: list[str] = field(default_factory=list)

    @property
    def statements(self) -> int:
        """How many statements were run, without BEGIN, COMMIT and savepoints."""
        return len(self.sql)

    @property
    def round_trips(self) -> int:
        """How often the code waited for the database: BEGIN rides with the first statement, COMMIT is one."""
        return sum(not trip.upper().startswith("SAVEPOINT") for trip in self.trips)


@contextmanager
def count_statements() -> Iterator[Cost]:
    """Count everything that this process sends to the database inside the block."""
    cost = Cost()
    exchange = WireConnection._exchange

    def counted(self: WireConnection, context: Any, messages: bytes) -> Any:
        cost.trips.append(context.statement)
        return exchange(self, context, messages)

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.upper().startswith(_SAVEPOINTS):
            cost.sql.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with mock.patch.object(WireConnection, "_exchange", counted):
            yield cost
    finally:
        event.remove(Engine, "before_cursor_execute", note)

"""The SQL of a `Reach`: what a statement's parameters `organization_id` and `customers` let a caller see.

class OneNote(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    note_id: NoteId

FIND_NOTE.find(session, *reach, note_id)
"""

from shared.db.statement import Sql, sql

WHOLE = sql("cast(:customers as uuid[]) is null")
"""The condition that a caller is not limited to customers."""


def of_customers(customer: Sql) -> Sql:
    """Return the condition that `customer` is one of those that a caller is limited to. Without a limit it fails."""
    return sql("{customer} = any(cast(:customers as uuid[]))", customer=customer)


def in_reach(customer: Sql) -> Sql:
    """Return the condition that a caller may see what belongs to `customer`, which can be null: then it fails with a limit."""
    return sql("({whole} or {of_customers})", whole=WHOLE, of_customers=of_customers(customer))

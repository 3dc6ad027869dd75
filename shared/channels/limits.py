"""Which customers a caller may limit a key or another member to."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from shared.channels.customer_queries import LIST_CUSTOMERS
from shared.channels.errors import CustomerNotFound
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import CustomerId
from shared.core.reach import Reach


def limit_to(
    session: Session, reach: Reach, wanted: Sequence[CustomerId] | None
) -> list[CustomerId] | None:
    """Return the customers to which the caller limits a key or a member: those that they want, or all that they see.

    None is no limit, which only a caller without one can give.

    Raises:
        InvalidInput: the caller does not see some of them; lists each by its path.
    """
    if wanted is None:
        return reach.customers
    seen = {row.id for row in LIST_CUSTOMERS.all(session, *reach)} if wanted else set()
    problems = [
        FieldProblem(f"customers.{number}", CustomerNotFound.code, CustomerNotFound().message)
        for number, customer_id in enumerate(wanted)
        if customer_id not in seen
    ]
    if problems:
        raise InvalidInput("Some customers do not exist.", problems=problems)
    return list(dict.fromkeys(wanted))

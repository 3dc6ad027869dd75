"""Which customers a caller may limit a key or another member to."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from shared.channels.customer_queries import FIND_CUSTOMERS, LIST_CUSTOMERS
from shared.channels.errors import CustomerNotFound
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import CustomerId, OrganizationId
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


def check_customers(
    session: Session, organization_id: OrganizationId, customer_ids: Sequence[CustomerId]
) -> None:
    """Check that all customers exist, which a request lists in its field `customers`.

    Raises:
        InvalidInput: the organization has no such customer; each is listed.
    """
    rows = FIND_CUSTOMERS.all(session, organization_id, list(customer_ids))
    known = {row.id for row in rows}
    words = "This customer does not exist. Choose one from `GET /customers`."
    unknown = [
        FieldProblem(f"customers.{number}", "customer_not_found", words)
        for number, customer_id in enumerate(customer_ids)
        if customer_id not in known
    ]
    if unknown:
        raise InvalidInput("Some customers do not exist. Nothing was changed.", problems=unknown)

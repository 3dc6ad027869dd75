"""An organization's customers, by which channels are grouped."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.apps.queries import FORGET_CUSTOMER_OF_GRANTS
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.channels import customer_queries as queries
from shared.channels.change import change_channel
from shared.channels.errors import CustomerNameTaken, CustomerNotFound, TooManyCustomers
from shared.channels.queries import ChannelSummary
from shared.channels.schemas import ChangeCustomer, CustomerList, CustomerOut
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ChannelId, CustomerId, new_id
from shared.core.reach import Reach
from shared.organizations.queries import FORGET_CUSTOMER_OF_MEMBERS, lock_organization

MOST_CUSTOMERS = 1_000  # they are listed without pages


def list_customers(session: Session, reach: Reach) -> CustomerList:
    """List the customers that the caller may see, by name."""
    rows = queries.LIST_CUSTOMERS.all(session, *reach)
    return CustomerList(customers=[CustomerOut.model_validate(row) for row in rows])


def add_customer(session: Session, actor: Actor, name: str) -> CustomerOut:
    """Add a customer.

    Raises:
        CustomerNameTaken: there is one of that name.
        TooManyCustomers: the organization has reached its limit.
    """
    organization_id = actor.organization
    lock_organization(session, organization_id)
    if queries.COUNT_CUSTOMERS.one(session, organization_id).total >= MOST_CUSTOMERS:
        raise TooManyCustomers(MOST_CUSTOMERS)
    row = queries.ADD_CUSTOMER.find(session, organization_id, CustomerId(new_id()), name)
    if row is None:
        raise CustomerNameTaken(name)
    record(session, actor, Action.CUSTOMER_CREATED, row.id)
    return CustomerOut.model_validate(row)


def rename_customer(
    session: Session, actor: Actor, customer_id: CustomerId, name: str
) -> CustomerOut:
    """Rename a customer.

    Raises:
        CustomerNotFound: the organization has no such customer.
        CustomerNameTaken: another customer has that name.
    """
    try:
        with session.begin_nested():
            row = queries.RENAME_CUSTOMER.find(session, actor.organization, customer_id, name)
    except IntegrityError as error:
        raise CustomerNameTaken(name) from error
    if row is None:
        raise CustomerNotFound
    record(session, actor, Action.CUSTOMER_UPDATED, customer_id)
    return CustomerOut.model_validate(row)


def delete_customer(session: Session, actor: Actor, customer_id: CustomerId) -> None:
    """Delete a customer. Its channels stay, without a customer, and nobody is limited to it anymore.

    A member who was limited to this customer alone sees nothing afterwards.

    Raises:
        CustomerNotFound: the organization has no such customer.
    """
    if not queries.DELETE_CUSTOMER.run(session, actor.organization, customer_id):
        raise CustomerNotFound
    FORGET_CUSTOMER_OF_MEMBERS.run(session, actor.organization, customer_id)
    FORGET_CUSTOMER_OF_GRANTS.run(session, actor.organization, customer_id)
    record(session, actor, Action.CUSTOMER_DELETED, customer_id)


def change_customer(
    session: Session, reach: Reach, actor: Actor, channel_id: ChannelId, wanted: ChangeCustomer
) -> ChannelSummary:
    """Set a channel's customer; a new name creates the customer.

    Raises:
        InvalidInput: both are given, or neither.
        ChannelNotFound: the caller sees no such channel.
        CustomerNotFound: the caller sees no such customer.
        TooManyCustomers: the organization has reached its limit.
    """
    if len(wanted.model_fields_set) != 1:
        words = (
            "Either `customerId` or `name` is required. Send one of them; null removes the "
            "customer."
        )
        raise InvalidInput(words, problems=[FieldProblem("customerId", "missing", words)])
    customer_id = wanted.customer_id
    if wanted.name:
        customer_id = _named(session, actor, wanted.name)
    elif customer_id:
        queries.hold_customer(session, reach, customer_id)
    kept = str(customer_id) if customer_id else None
    return change_channel(session, reach, actor, channel_id, {"customer_id": kept})


def _named(session: Session, actor: Actor, name: str) -> CustomerId:
    found = queries.HOLD_CUSTOMER_BY_NAME.find(session, actor.organization, name)
    return found.id if found else add_customer(session, actor, name).id

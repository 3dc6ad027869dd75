"""The statements that read and write an organization's customers."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.channels.errors import CustomerNotFound
from shared.core.ids import CustomerId, OrganizationId
from shared.core.reach import Reach
from shared.db.reach import in_reach
from shared.db.statement import NoRow, Statement, sql
from shared.organizations.models import Approval, ApprovedBy


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class Visible(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None


class CustomerRow(NamedTuple):
    id: CustomerId
    name: str


LIST_CUSTOMERS = Statement(
    "list_customers",
    sql(
        """
        select id, name from customers where organization_id = :organization_id and {in_reach}
        order by lower(name), id
        """,
        in_reach=in_reach(sql("id")),
    ),
    params=Visible,
    row=CustomerRow,
)
"""List the customers that the caller may see, by name."""


class Count(NamedTuple):
    total: int


COUNT_CUSTOMERS = Statement(
    "count_customers",
    sql("select count(*) as total from customers where organization_id = :organization_id"),
    params=OfOrganization,
    row=Count,
)
"""Count an organization's customers."""


class NewCustomer(NamedTuple):
    organization_id: OrganizationId
    customer_id: CustomerId
    name: str


ADD_CUSTOMER = Statement(
    "add_customer",
    sql("""
        insert into customers (id, organization_id, name) values (:customer_id, :organization_id, :name)
        on conflict (organization_id, name) do nothing
        returning id, name
    """),
    params=NewCustomer,
    row=CustomerRow,
)
"""Add a customer; no row: there is one of that name."""


class CustomerName(NamedTuple):
    organization_id: OrganizationId
    name: str


class Id(NamedTuple):
    id: CustomerId


HOLD_CUSTOMER_BY_NAME = Statement(
    "hold_customer_by_name",
    sql(
        "select id from customers where organization_id = :organization_id and name = :name for key share"
    ),
    params=CustomerName,
    row=Id,
)
"""Find a customer and lock it until the transaction ends."""


class OneCustomer(NamedTuple):
    organization_id: OrganizationId
    customer_id: CustomerId


class VisibleCustomer(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    customer_id: CustomerId


FIND_CUSTOMER = Statement(
    "find_customer",
    sql(
        "select id from customers where organization_id = :organization_id and id = :customer_id and {in_reach}",
        in_reach=in_reach(sql("id")),
    ),
    params=VisibleCustomer,
    row=Id,
)
"""Find a customer."""

HOLD_CUSTOMER = Statement(
    "hold_customer",
    sql(
        """
        select id from customers where organization_id = :organization_id and id = :customer_id and {in_reach}
        for key share
        """,
        in_reach=in_reach(sql("id")),
    ),
    params=VisibleCustomer,
    row=Id,
)
"""Find a customer by id and lock it until the transaction ends."""


class SomeCustomers(NamedTuple):
    organization_id: OrganizationId
    customer_ids: list[CustomerId]


FIND_CUSTOMERS = Statement(
    "find_customers",
    sql(
        "select id from customers where organization_id = :organization_id and id = any(:customer_ids)"
    ),
    params=SomeCustomers,
    row=Id,
)
"""Find those of some customers that exist."""

RENAME_CUSTOMER = Statement(
    "rename_customer",
    sql("""
        update customers set name = :name, updated_at = now()
        where organization_id = :organization_id and id = :customer_id
        returning id, name
    """),
    params=NewCustomer,
    row=CustomerRow,
)
"""Rename a customer; no row: there is none."""

DELETE_CUSTOMER = Statement(
    "delete_customer",
    sql("delete from customers where organization_id = :organization_id and id = :customer_id"),
    params=OneCustomer,
    row=NoRow,
)
"""Delete a customer. Its channels stay, without a customer."""


def check_customer(session: Session, reach: Reach, customer_id: CustomerId) -> None:
    """Check that the caller sees a customer.

    Raises:
        CustomerNotFound: there is no such customer.
    """
    if FIND_CUSTOMER.find(session, *reach, customer_id) is None:
        raise CustomerNotFound


def hold_customer(session: Session, reach: Reach, customer_id: CustomerId) -> None:
    """Check the same, and keep the customer until the transaction ends.

    Raises:
        CustomerNotFound: there is no such customer.
    """
    if HOLD_CUSTOMER.find(session, *reach, customer_id) is None:
        raise CustomerNotFound


class ApprovalOfCustomer(NamedTuple):
    id: CustomerId
    name: str
    approval: Approval
    approved_by: ApprovedBy


LIST_APPROVALS = Statement(
    "list_approvals",
    sql(
        """
        select id, name, approval, approved_by from customers
        where organization_id = :organization_id and approval is not null and {in_reach}
        order by lower(name), id
        """,
        in_reach=in_reach(sql("id")),
    ),
    params=Visible,
    row=ApprovalOfCustomer,
)
"""List the customers with a rule of their own for the approval of posts, by name."""


class NewApproval(NamedTuple):
    organization_id: OrganizationId
    customer_id: CustomerId
    approval: str | None
    approved_by: str | None


SET_APPROVAL = Statement(
    "set_approval_of_customer",
    sql("""
        update customers set approval = :approval, approved_by = :approved_by, updated_at = now()
        where organization_id = :organization_id and id = :customer_id
    """),
    params=NewApproval,
    row=NoRow,
)
"""Set a customer's rule for the approval of posts, or remove it."""

"""`/settings/*`, `/customers/*`, `/notifications/*`: the organization, its members, customers and notifications."""

from typing import Annotated

from fastapi import Query

from shared.access.actor import actor_of
from shared.channels import customers
from shared.channels.customers import delete_customer
from shared.channels.schemas import CustomerIn, CustomerList, CustomerOut, CustomerRef
from shared.core.ids import CustomerId
from shared.notifications import queries as notifications
from shared.notifications.read import list_notifications
from shared.notifications.schemas import NotificationList, ReadMark, UnreadCount
from shared.organizations import queries as organizations
from shared.organizations.schemas import OrganizationIn, OrganizationOut, Team
from shared.organizations.settings import change_organization, list_team
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, Reading, Writing
from shared.web.routing import Router

settings = Router(prefix="/settings", tags=["Organization"])
clients = Router(prefix="/customers", tags=["Customers"])
inbox = Router(prefix="/notifications", tags=["Notifications"])


@settings.get("/organization")
def get_organization(member: Acting, session: Reading) -> OrganizationOut:
    """Return the organization's name, time zone and plan."""
    row = organizations.get_organization(session, member.organization_id)
    return OrganizationOut.model_validate(row)


@settings.put("/organization")
def update_organization(body: OrganizationIn, member: Acting, session: Writing) -> OrganizationOut:
    """Change the organization's name, description or time zone; omitted fields stay unchanged."""
    return change_organization(session, actor_of(member), body)


@settings.get("/team", operation_id="listTeam")
def get_team(member: Acting, session: Reading) -> Team:
    """List the organization's members, longest-standing first."""
    return list_team(session, member.organization_id)


@clients.get("")
def list_customers(member: Acting, session: Reading) -> CustomerList:
    """List the organization's customers, by name. Channels are grouped by them."""
    return customers.list_customers(session, member.organization_id)


@clients.post("", status_code=201)
def create_customer(body: CustomerIn, member: Acting, session: Writing) -> CustomerOut:
    """Add a customer. Its name must be unique."""
    return customers.add_customer(session, actor_of(member), body.name)


@clients.put("/{customer_id}")
def update_customer(
    customer_id: CustomerId, body: CustomerIn, member: Acting, session: Writing
) -> CustomerOut:
    """Rename a customer."""
    return customers.rename_customer(session, actor_of(member), customer_id, body.name)


@clients.delete("/{customer_id}", operation_id="deleteCustomer")
def remove_customer(customer_id: CustomerId, member: Acting, session: Writing) -> CustomerRef:
    """Delete a customer. Its channels stay, without a customer."""
    delete_customer(session, actor_of(member), customer_id)
    return CustomerRef(id=customer_id)


@inbox.get("")
def count_unread_notifications(member: Acting, session: Reading) -> UnreadCount:
    """Count unread notifications."""
    total = notifications.COUNT_UNREAD.one(session, member.organization_id, member.person_id).total
    return UnreadCount(total=total)


@inbox.get("/list", operation_id="listNotificationPages")
def get_notifications(
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> NotificationList:
    """List notifications, newest first. Reading the first page marks all of them as read."""
    return list_notifications(
        session, member.organization_id, member.person_id, cursor=cursor, limit=limit
    )


@inbox.post("/read")
def mark_notifications_read(member: Acting, session: Writing) -> ReadMark:
    """Mark all notifications as read."""
    read_at = notifications.MARK_READ.one(session, member.person_id).read_at
    return ReadMark(last_read_notifications=read_at)


app = make_app("organizations", routers=[settings, clients, inbox])
handler = as_handler(app)

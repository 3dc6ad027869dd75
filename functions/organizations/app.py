"""`/settings/*`, `/organizations/*`, `/customers/*`, `/notifications/*`, `/announcements/*`.

An organization, its members and customers, the notifications of a member, and announcements of the server's operators.
"""

from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import HTMLResponse

from shared.access import invitations, ownership, recovery, team
from shared.access.actor import actor_of, person_of
from shared.access.company_settings import change_company_login
from shared.access.context import identify
from shared.access.delete import delete_organization
from shared.access.errors import FreshLoginNeeded, NotInTheirPlace
from shared.access.policy import Rule, Who
from shared.access.schemas import DeletedOut
from shared.access.team_schemas import (
    ChangedMember,
    InvitationIn,
    InvitationMade,
    InvitationRevoked,
    MemberChange,
    MemberRemoval,
    OwnershipAccepted,
    OwnershipOfferEnded,
    OwnershipOfferIn,
    OwnershipOfferOut,
    OwnershipOffers,
    RecoveryAgreed,
    RecoveryList,
    RecoveryOut,
    RecoveryStop,
    RemovedMember,
    Team,
)
from shared.audit.entries import Action
from shared.audit.read import export_log, format_for, list_log
from shared.audit.record import record
from shared.audit.schemas import Log, LogQuery
from shared.channels import approval_rules, customers
from shared.channels.customers import delete_customer
from shared.channels.schemas import (
    ApprovalRuleIn,
    ApprovalRuleOut,
    ApprovalRules,
    CustomerIn,
    CustomerList,
    CustomerOut,
    CustomerRef,
)
from shared.core.errors import Unauthenticated
from shared.core.ids import (
    AnnouncementId,
    CustomerId,
    DomainId,
    InvitationId,
    OfferId,
    RecoveryId,
    UserId,
)
from shared.notifications import announcements
from shared.notifications import queries as notifications
from shared.notifications.read import list_notifications
from shared.notifications.schemas import (
    AnnouncementIn,
    AnnouncementOut,
    AnnouncementRef,
    NotificationList,
    ReadMark,
    UnreadCount,
)
from shared.organizations import company_login
from shared.organizations import queries as organizations
from shared.organizations import settings as organization_settings
from shared.organizations.company_schemas import (
    CompanyDomainIn,
    CompanyDomainOut,
    CompanyDomainRemoved,
    CompanyLoginIn,
    CompanyLoginOut,
    CompanyLoginRemoved,
)
from shared.organizations.models import ShortLink
from shared.organizations.schemas import (
    WIRE_ROLES,
    NewOrganization,
    OrganizationIn,
    OrganizationOut,
    Security,
    SecurityIn,
    ShortLinks,
    ShortLinksIn,
)
from shared.organizations.settings import change_organization, create_organization
from shared.posts.read import link_to_rest
from shared.web import cookies
from shared.web.app import as_handler, make_app
from shared.web.deps import Acting, OwnProfile, Reading, Writing, credentials_of
from shared.web.html import sign_in_page
from shared.web.routing import Router, refusals
from shared.web.seat_html import ownership_page

# An export is a file.
_CSV_EXAMPLE = "at,action,userId\r\n2026-12-01T09:00:00Z,member.removed,0193...\r\n"
_JSONL_EXAMPLE = '{"at": "2026-12-01T09:00:00Z", "action": "member.removed"}\n'
EXPORTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": _CSV_EXAMPLE},
            "application/jsonl": {"schema": {"type": "string"}, "example": _JSONL_EXAMPLE},
        }
    }
}

settings = Router(prefix="/settings", tags=["Organization"])
organization = Router(prefix="/organizations", tags=["Organization"])
pages = Router(prefix="/app", tags=["Organization"])
clients = Router(prefix="/customers", tags=["Customers"])
inbox = Router(prefix="/notifications", tags=["Notifications"])
news = Router(prefix="/announcements", tags=["Announcements"])

_RECEIVER = Rule(Who.VIEWER, person=True, personal=True, self_only=True, fresh=True)
"""Who may be asked to accept the ownership; the answer has a row of the policy."""
HTML_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {**refusal, "content": {**refusal["content"], "text/html": {}}}
    for status, refusal in refusals(403, 404, 422, 429, 503).items()
}


@settings.get("/organization")
def get_organization(member: Acting, session: Reading) -> OrganizationOut:
    """Return the organization's name, time zone and plan."""
    row = organizations.get_organization(session, member.organization_id)
    return OrganizationOut.model_validate(row)


@settings.put("/organization")
def update_organization(body: OrganizationIn, member: Acting, session: Writing) -> OrganizationOut:
    """Change the organization's name, description or time zone; omitted fields stay unchanged."""
    return change_organization(session, actor_of(member), body)


@settings.get("/security")
def get_security(member: Acting, session: Reading) -> Security:
    """Return whether the organization requires a second factor of its members."""
    return organization_settings.get_security(session, member.organization_id)


@settings.put("/security")
def update_security(body: SecurityIn, member: Acting, session: Writing) -> Security:
    """Require a second factor of all members, or require none.

    After the days of grace, which `GET /user/self` shows, each route of the organization answers 403 `mfa_needed` to members without
    one, and to the consents they gave. API keys stay valid.
    """
    return organization_settings.change_security(session, actor_of(member), body)


@settings.delete("/organization", operation_id="deleteOrganization")
def remove_organization(member: Acting, session: Writing, response: Response) -> DeletedOut:
    """Delete the organization.

    Nobody can use it from now on, and nothing is published for it. For 14 days an emailed link restores it; then its channels'
    permissions are given back to the platforms, and everything is erased. Its members are emailed.
    """
    deleted = delete_organization(session, member)
    cookies.forget_organization(response)
    return DeletedOut.model_validate(deleted)


@settings.get("/team", operation_id="listTeam")
def get_team(member: Acting, session: Reading) -> Team:
    """List the organization's members, longest-standing first, and the invitations that nobody has used."""
    return Team(
        users=team.list_members(session, member),
        invitations=invitations.list_invitations(session, member),
    )


@settings.post("/team", status_code=201, operation_id="inviteToTeam")
def invite_member(
    body: InvitationIn, member: Acting, profile: OwnProfile, session: Writing
) -> InvitationMade:
    """Invite somebody to the organization by a link, which is emailed unless `sendEmail` is false.

    The link works once within seven days: for the person whose proven address is `email`, or with `link` for the first who
    uses it. Inviting the same address again replaces the earlier invitation. Nobody gives more than they have, and what the
    member who invited may not give any more at the time of joining is not given.
    """
    return invitations.invite(session, member, profile, body)


@settings.post("/team/invitations/{invitation_id}/resend")
def resend_invitation(
    invitation_id: InvitationId, member: Acting, profile: OwnProfile, session: Writing
) -> InvitationMade:
    """Make a new link for an invitation, expired or not, and email it. The old link stops working."""
    return invitations.resend_invitation(session, member, profile, invitation_id)


@settings.delete("/team/invitations/{invitation_id}")
def revoke_invitation(
    invitation_id: InvitationId, member: Acting, session: Writing
) -> InvitationRevoked:
    """Revoke an invitation. Its link stops working."""
    invitations.revoke_invitation(session, member, invitation_id)
    return InvitationRevoked(id=invitation_id)


@settings.get("/company-login")
def get_company_login(member: Acting, session: Reading) -> CompanyLoginOut:
    """Return the company login: its client, what newcomers get, and the domains with the records that prove them."""
    return company_login.get_company_login(session, member.organization_id)


@settings.put("/company-login", responses=refusals(503))
def update_company_login(body: CompanyLoginIn, member: Acting) -> CompanyLoginOut:
    """Set the company login: an OpenID client at the issuer with which members sign in.

    It speaks only for addresses of proven domains, and only inside this organization. With `required`, members must come through
    it, except an owner with a second factor. Another issuer ends the sessions that came through the old one.
    """
    return change_company_login(member, body)


@settings.delete("/company-login")
def delete_company_login(member: Acting, session: Writing) -> CompanyLoginRemoved:
    """Remove the company login. Sessions that came through it end; members keep their seats, and the domains stay."""
    return CompanyLoginRemoved(
        sessions=company_login.remove_company_login(session, actor_of(member))
    )


@settings.post("/company-login/domains", status_code=201)
def add_company_domain(body: CompanyDomainIn, member: Acting, session: Writing) -> CompanyDomainOut:
    """Add a domain. Create the TXT record that the answer names, then verify the domain."""
    return company_login.add_domain(session, actor_of(member), body)


@settings.post("/company-login/domains/{domain_id}/verify", responses=refusals(503))
def verify_company_domain(domain_id: DomainId, member: Acting) -> CompanyDomainOut:
    """Verify a domain by its TXT record. It is asked for again every week; gone for a week, the domain counts no longer."""
    return company_login.verify_domain(actor_of(member), domain_id)


@settings.delete("/company-login/domains/{domain_id}")
def delete_company_domain(
    domain_id: DomainId, member: Acting, session: Writing
) -> CompanyDomainRemoved:
    """Remove a domain. Without a proven one, the company login is required no longer."""
    company_login.remove_domain(session, actor_of(member), domain_id)
    return CompanyDomainRemoved(id=domain_id)


@settings.put("/team/{user_id}")
def update_team_member(
    user_id: UserId, body: MemberChange, member: Acting, session: Writing
) -> ChangedMember:
    """Change a member's role, customers or approval, or disable the member.

    Nobody gives more than they have, or changes somebody who has more. If the seat allows less than before, the API keys that
    the member created here end, except those in `keepKeys`, and so do their consents and device logins. `ended` lists them.
    """
    return team.change_member(session, member, user_id, body)


@settings.delete("/team/{user_id}")
def remove_team_member(
    user_id: UserId, member: Acting, session: Writing, body: MemberRemoval | None = None
) -> RemovedMember:
    """Remove a member.

    The API keys that they created here end, except those in `keepKeys`, and so do their consents and device logins.
    """
    return team.remove_member(session, member, user_id, body.keep_keys if body else ())


@settings.get("/approval")
def get_approval(member: Acting, session: Reading) -> ApprovalRules:
    """Return which posts wait for approval: the organization's rule, and those of customers with their own."""
    return approval_rules.list_rules(session, member.reach)


@settings.put("/approval")
def update_approval(body: ApprovalRuleIn, member: Acting, session: Writing) -> ApprovalRuleOut:
    """Set which posts wait for approval. Posts that are queued already stay queued."""
    return approval_rules.set_rule(session, actor_of(member), body)


@settings.put("/approval/{customer_id}")
def update_customer_approval(
    customer_id: CustomerId, body: ApprovalRuleIn, member: Acting, session: Writing
) -> ApprovalRuleOut:
    """Set which posts of a customer's channels wait for approval, instead of the organization's rule."""
    return approval_rules.set_rule_of_customer(session, actor_of(member), customer_id, body)


@settings.delete("/approval/{customer_id}")
def remove_customer_approval(
    customer_id: CustomerId, member: Acting, session: Writing
) -> ApprovalRules:
    """Remove a customer's rule, so that the organization's holds. Returns the rules that are left."""
    approval_rules.remove_rule(session, actor_of(member), customer_id)
    return approval_rules.list_rules(session, member.reach)


@settings.get("/recoveries")
def list_recoveries(member: Acting, session: Reading) -> RecoveryList:
    """List the members who recover their account without their second factor, oldest first."""
    return RecoveryList(
        recoveries=[
            RecoveryOut(
                id=row.id,
                user_id=row.user_id,
                email=row.email,
                name=row.name,
                role=WIRE_ROLES[row.role],
                started_at=row.started_at,
                opens_at=row.opens_at,
                closed=row.is_closed,
                objected=row.is_objected,
                other_owners=row.other_owners,
            )
            for row in recovery.list_recoveries(session, member)
        ]
    )


@settings.post("/recoveries/{recovery_id}/stop", operation_id="stopMemberRecovery")
def stop_recovery(recovery_id: RecoveryId, member: Acting, session: Writing) -> RecoveryStop:
    """Stop the recovery of another member; if it is over, keep their seat closed."""
    done = recovery.stop_recovery(session, member, recovery_id)
    return RecoveryStop(id=recovery_id, stopped=done.stopped, objected=done.objected)


@settings.post("/recoveries/{recovery_id}/agree", operation_id="agreeToRecovery")
def agree_to_recovery(recovery_id: RecoveryId, member: Acting, session: Writing) -> RecoveryAgreed:
    """Open the seat of a member whose account was recovered. For an only owner, an admin withdraws the objection."""
    return RecoveryAgreed(id=recovery_id, open=recovery.agree(session, member, recovery_id))


@settings.get("/shortlink")
def get_shortlink(member: Acting, session: Reading) -> ShortLinks:
    """Return whether links in posts are to be shortened. The choice is kept for clients; links are sent as written."""
    row = organizations.GET_SHORTLINK.one(session, member.organization_id)
    return ShortLinks.model_validate({"shortlink": row.shortlink.upper()})


@settings.post("/shortlink")
def update_shortlink(body: ShortLinksIn, member: Acting, session: Writing) -> ShortLinks:
    """Choose whether links in posts are to be shortened. The choice is kept for clients; links are sent as written."""
    choice = ShortLink(body.shortlink.lower())
    organizations.SET_SHORTLINK.run(session, member.organization_id, choice)
    record(session, actor_of(member), Action.ORGANIZATION_UPDATED, member.organization_id)
    return ShortLinks(shortlink=body.shortlink)


@organization.post("", status_code=201, responses=refusals(403))
def add_organization(body: NewOrganization, member: Acting, session: Writing) -> OrganizationOut:
    """Create an organization, of which the person becomes the owner.

    `POST /user/change-org` selects it. On a server that accepts no new accounts, only a super admin creates organizations.
    """
    return create_organization(
        session,
        member.person_id,
        body,
        actor=actor_of(member),
        timezone=member.timezone,
        is_super_admin=member.is_super_admin,
    )


@organization.post("/leave")
def leave_organization(member: Acting, session: Writing, response: Response) -> RemovedMember:
    """Leave the organization.

    The API keys that the member created there end, and so do their consents and device logins. The last owner cannot leave.
    """
    left = team.leave_organization(session, member)
    cookies.forget_organization(response)
    return left


@settings.get("/audit", operation_id="listAuditLog", response_model=Log, responses=EXPORTS)
def get_audit_log(
    wanted: Annotated[LogQuery, Query()], request: Request, member: Acting, session: Reading
) -> Log | Response:
    """List the audit log.

    Who did what, by which credential and from where, newest first. `format`, or the header `Accept` with `text/csv` or
    `application/jsonl`, returns a file of up to 5,000 entries; the header `Link` leads to the rest.
    """
    form = wanted.format or format_for(request.headers.get("accept", ""))
    if form and member.impersonated_by:
        raise NotInTheirPlace
    if form is None:
        return list_log(
            session, member.organization_id, wanted, cursor=wanted.cursor, limit=wanted.limit
        )
    exported = export_log(session, member.organization_id, wanted, form, cursor=wanted.cursor)
    headers = {"content-disposition": f'attachment; filename="audit.{form}"'}
    if exported.next_cursor:
        query = request.query_params.multi_items()
        headers["link"] = link_to_rest(query, exported.next_cursor, path="/settings/audit")
    return Response(exported.content, headers=headers, media_type=form.media_type)


@organization.get("/ownership")
def list_ownership_offers(member: Acting, session: Reading) -> OwnershipOffers:
    """List the offers of ownership. Owners get all, other members those made to them."""
    return ownership.list_offers(session, member)


@organization.post("/ownership", status_code=201)
def offer_ownership(
    body: OwnershipOfferIn, member: Acting, profile: OwnProfile, session: Writing
) -> OwnershipOfferOut:
    """Offer the ownership of the organization to a member, who also gets an email.

    Nothing changes until the member accepts, within seven days. A new offer replaces the caller's earlier one.
    """
    return ownership.offer_ownership(session, member, profile, body)


@organization.delete("/ownership/{offer_id}")
def end_ownership_offer(offer_id: OfferId, member: Acting, session: Writing) -> OwnershipOfferEnded:
    """Withdraw an offer of ownership as an owner, or decline it as its receiver."""
    ownership.end_offer(session, member, offer_id)
    return OwnershipOfferEnded(id=offer_id)


@organization.post("/ownership/{offer_id}/accept")
def accept_ownership(offer_id: OfferId, member: Acting, session: Writing) -> OwnershipAccepted:
    """Accept the ownership of the organization.

    Limits of the member's seat end. The owner who made the offer becomes an admin, unless the offer says otherwise.
    """
    return ownership.accept_ownership(session, member, offer_id)


@pages.get("/ownership/{offer_id}", response_class=HTMLResponse, responses=HTML_REFUSALS)
def get_ownership_page(offer_id: OfferId, request: Request, session: Reading) -> HTMLResponse:
    """Show the page where a mailed link leads to an offer of ownership. Opening it changes nothing."""
    try:
        member = identify(session, credentials_of(request), _RECEIVER).member
    except (FreshLoginNeeded, Unauthenticated):
        return sign_in_page("Sign in again to accept the ownership of an organization.")
    return ownership_page(offer_id, ownership.get_offer_to(session, member.person_id, offer_id))


@clients.get("")
def list_customers(member: Acting, session: Reading) -> CustomerList:
    """List the customers, by name. Channels are grouped by them."""
    return customers.list_customers(session, member.reach)


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
    total = notifications.COUNT_UNREAD.one(session, *member.reach, member.person_id).total
    return UnreadCount(total=total)


@inbox.get("/list", operation_id="listNotificationPages")
def get_notifications(
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> NotificationList:
    """List notifications, newest first. Reading the first page marks all of them as read."""
    return list_notifications(session, member.reach, member.person_id, cursor=cursor, limit=limit)


@inbox.post("/read")
def mark_notifications_read(member: Acting, session: Writing) -> ReadMark:
    """Mark all notifications as read."""
    read_at = notifications.MARK_READ.one(session, member.person_id).read_at
    return ReadMark(last_read_notifications=read_at)


@news.get("", operation_id="listAnnouncements")
def get_announcements(session: Reading) -> list[AnnouncementOut]:
    """List the announcements of the server's operators, newest first."""
    return announcements.list_announcements(session)


@news.post("", status_code=201)
def create_announcement(body: AnnouncementIn, member: Acting, session: Writing) -> AnnouncementOut:
    """Show an announcement to the members of every organization. For super admins."""
    return announcements.announce(session, person_of(member), body)


@news.delete("/{announcement_id}")
def delete_announcement(
    announcement_id: AnnouncementId, member: Acting, session: Writing
) -> AnnouncementRef:
    """Delete an announcement. For super admins."""
    announcements.withdraw(session, person_of(member), announcement_id)
    return AnnouncementRef(id=announcement_id)


app = make_app("organizations", routers=[settings, organization, pages, clients, inbox, news])
handler = as_handler(app)

"""Reads and changes the rules for the approval of posts: the organization's, and those of its customers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.channels import customer_queries
from shared.channels.errors import CustomerNotFound
from shared.channels.schemas import ApprovalRuleIn, ApprovalRuleOut, ApprovalRules, CustomerApproval
from shared.core.ids import CustomerId
from shared.core.reach import Reach
from shared.organizations import queries
from shared.organizations.models import Approval, ApprovedBy


def list_rules(session: Session, reach: Reach) -> ApprovalRules:
    """Return the organization's rule, and those of the customers that have their own."""
    row = queries.GET_APPROVAL.one(session, reach.organization_id)
    rows = customer_queries.LIST_APPROVALS.all(session, *reach)
    return ApprovalRules(
        approval=row.approval,
        approved_by=row.approved_by,
        customers=[CustomerApproval.model_validate(one) for one in rows],
    )


def set_rule(session: Session, actor: Actor, wanted: ApprovalRuleIn) -> ApprovalRuleOut:
    """Set the organization's rule. Posts that are queued already stay queued."""
    queries.SET_APPROVAL.run(session, actor.organization, wanted.approval, wanted.approved_by)
    after = wanted.model_dump(by_alias=True)
    record(session, actor, Action.ORGANIZATION_UPDATED, actor.organization, after=after)
    return ApprovalRuleOut(approval=wanted.approval, approved_by=wanted.approved_by)


def set_rule_of_customer(
    session: Session, actor: Actor, customer_id: CustomerId, wanted: ApprovalRuleIn
) -> ApprovalRuleOut:
    """Set a customer's rule.

    Raises:
        CustomerNotFound: the organization has no such customer.
    """
    after = wanted.model_dump(by_alias=True)
    _store(session, actor, customer_id, wanted.approval, wanted.approved_by, after)
    return ApprovalRuleOut(approval=wanted.approval, approved_by=wanted.approved_by)


def remove_rule(session: Session, actor: Actor, customer_id: CustomerId) -> None:
    """Remove a customer's rule, so that the organization's holds.

    Raises:
        CustomerNotFound: the organization has no such customer.
    """
    _store(session, actor, customer_id, None, None, {"approval": None})


def _store(
    session: Session,
    actor: Actor,
    customer_id: CustomerId,
    approval: Approval | None,
    approved_by: ApprovedBy | None,
    recorded: Mapping[str, Any],
) -> None:
    organization_id = actor.organization
    if not customer_queries.SET_APPROVAL.run(
        session, organization_id, customer_id, approval, approved_by
    ):
        raise CustomerNotFound
    record(session, actor, Action.CUSTOMER_UPDATED, customer_id, after=recorded)

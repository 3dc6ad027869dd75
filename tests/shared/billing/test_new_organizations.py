"""With which plan an organization begins."""

import pytest
from sqlalchemy.orm import Session

from shared.organizations.models import Organization
from shared.organizations.queries import add_organization
from tests.builders import a_user
from tests.conftest import Configure


@pytest.mark.parametrize(("billing", "plan"), [("on", "free"), ("off", "ultimate")])
def test_begins_with_what_it_has_not_paid_for(
    session: Session, configure: Configure, billing: str, plan: str
) -> None:
    configure(BILLING=billing)
    owner = a_user(session)
    organization_id = add_organization(session, owner.id, name="Geese", timezone="UTC")
    organization = session.get_one(Organization, organization_id)
    assert (organization.plan, organization.plan_ends_at) == (plan, None)

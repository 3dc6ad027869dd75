"""Sets an organization's company login for a caller: checks what the layers below it cannot."""

from shared.access.actor import actor_of
from shared.access.context import ActingMember
from shared.channels.limits import check_customers
from shared.db.session import read_only
from shared.organizations.company_login import set_company_login
from shared.organizations.company_schemas import CompanyLoginIn, CompanyLoginOut


def change_company_login(member: ActingMember, wanted: CompanyLoginIn) -> CompanyLoginOut:
    """Add or change the company login. No transaction is open while its secret is sealed.

    Raises:
        InvalidInput: a customer does not exist, the issuer cannot be called, or newcomers would be owners.
        NoProvenDomain: it is to be required, and speaks for no domain yet.
    """
    if wanted.customers:
        with read_only() as session:
            check_customers(session, member.organization_id, wanted.customers)
    return set_company_login(actor_of(member), wanted)

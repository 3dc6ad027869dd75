"""How far somebody sees within an organization."""

from typing import NamedTuple

from shared.core.ids import CustomerId, OrganizationId


class Reach(NamedTuple):
    """What a caller may see and change: everything of an organization, or only what belongs to some of its customers.

    It is the first argument of every query over channels, posts, media, analytics, notifications and reviews. `customers` of
    None is no limit; with a limit, what belongs to no customer is not visible. Its fields are the first parameters of such a
    statement (`shared/db/reach.py`).
    """

    organization_id: OrganizationId
    customers: list[CustomerId] | None = None

    @property
    def is_limited(self) -> bool:
        """Return whether the caller sees only some customers."""
        return self.customers is not None

    def includes(self, customer_id: CustomerId | None) -> bool:
        """Return whether the caller sees what belongs to a customer, or to none."""
        return self.customers is None or customer_id in self.customers

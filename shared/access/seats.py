"""What a seat allows, and which seats somebody may give: never more than their own."""

from dataclasses import dataclass

from shared.access.policy import reaches
from shared.core.ids import CustomerId
from shared.organizations.models import Role

GIVES_FROM = Role.ADMIN
"""The lowest role that gives seats."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a member may do in an organization. `customers` None: everything of the organization is visible."""

    role: Role
    customers: frozenset[CustomerId] | None = None
    needs_approval: bool = False
    may_approve: bool = False

    @property
    def approves(self) -> bool:
        """Return whether the seat can let somebody else approve: an owner always can."""
        return self.may_approve or self.role is Role.OWNER

    def manages(self, other: "Rights") -> bool:
        """Return whether somebody with this seat may change or end the other one."""
        return (
            reaches(self.role, GIVES_FROM)
            and reaches(self.role, other.role)
            and _within(other.customers, self.customers)
        )

    def may_give(self, wanted: "Rights", *, instead_of: "Rights | None" = None) -> bool:
        """Return whether somebody with this seat may give `wanted`: nothing in it is more than their own.

        What a member has already (`instead_of`) may stay.
        """
        needs, may = (
            (instead_of.needs_approval, instead_of.may_approve) if instead_of else (True, False)
        )
        return (
            self.manages(wanted)
            and (wanted.needs_approval or not self.needs_approval or not needs)
            and (not wanted.may_approve or self.approves or may)
        )

    def is_less_than(self, before: "Rights") -> bool:
        """Return whether a member, or a program that acts for them, could do something before and cannot now."""
        return (
            not reaches(self.role, before.role)
            or not _within(before.customers, self.customers)
            or (self.needs_approval and not before.needs_approval)
        )

    def limited_to(self, giver: "Rights") -> "Rights | None":
        """Return the most of this seat that `giver` may give now; None if they may give none.

        The result sees at least one customer: a seat that sees nothing is not given.
        """
        if not reaches(giver.role, GIVES_FROM):
            return None
        customers = _common(self.customers, giver.customers)
        if customers is not None and not customers:
            return None
        return Rights(
            self.role if reaches(giver.role, self.role) else giver.role,
            customers,
            self.needs_approval or giver.needs_approval,
            self.may_approve and giver.approves,
        )


def _within(few: frozenset[CustomerId] | None, many: frozenset[CustomerId] | None) -> bool:
    return many is None or (few is not None and few <= many)


def _common(
    one: frozenset[CustomerId] | None, other: frozenset[CustomerId] | None
) -> frozenset[CustomerId] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other

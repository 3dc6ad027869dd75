"""Which seat may be given by whom, and what is left of it: all pairs of seats, compared with the words of the rule."""

from itertools import product

import pytest

from shared.access.seats import Rights
from shared.core.ids import CustomerId, new_id
from shared.organizations.models import Role

A, B = (CustomerId(new_id()) for _ in range(2))
SCOPES = (None, frozenset({A, B}), frozenset({A}), frozenset({B}))
LIMITED = [
    Rights(role, customers, needs_approval, may_approve)
    for role, customers, needs_approval, may_approve in product(
        (Role.ADMIN, Role.EDITOR, Role.VIEWER), SCOPES, (False, True), (False, True)
    )
]
EVERY = [Rights(Role.OWNER), *LIMITED]
LEVEL = {Role.VIEWER: 0, Role.EDITOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


def sees(seat: Rights, customer: CustomerId | None) -> bool:
    """Return whether a seat sees a customer's channels; None: those of no customer."""
    return seat.customers is None or customer in seat.customers


def exceeds(one: Rights, other: Rights) -> bool:
    """Return whether a seat can do something that the other cannot."""
    return (
        LEVEL[one.role] > LEVEL[other.role]
        or any(sees(one, customer) and not sees(other, customer) for customer in (A, B, None))
        or (other.needs_approval and not one.needs_approval)
        or (one.may_approve and not other.may_approve and other.role is not Role.OWNER)
    )


def test_nobody_gives_more_than_they_have() -> None:
    for giver, wanted in product(EVERY, EVERY):
        may = LEVEL[giver.role] >= 2 and not exceeds(wanted, giver)
        assert giver.may_give(wanted) is may, (giver, wanted)


def test_what_a_member_has_may_stay() -> None:
    giver = Rights(Role.ADMIN, needs_approval=True)
    approver = Rights(Role.EDITOR, may_approve=True)
    assert giver.may_give(approver, instead_of=Rights(Role.VIEWER, may_approve=True))
    assert not giver.may_give(approver, instead_of=Rights(Role.VIEWER))
    waits = Rights(Role.EDITOR, needs_approval=True, may_approve=True)
    assert not giver.may_give(approver, instead_of=waits)


def test_a_role_and_scope_that_is_higher_is_not_managed() -> None:
    for one, other in product(EVERY, EVERY):
        higher = LEVEL[other.role] > LEVEL[one.role] or any(
            sees(other, customer) and not sees(one, customer) for customer in (A, B, None)
        )
        assert one.manages(other) is (LEVEL[one.role] >= 2 and not higher), (one, other)


def test_what_is_left_of_an_invitation_is_the_most_that_its_giver_may_give() -> None:
    for wanted, giver in product(LIMITED, EVERY):
        left = wanted.limited_to(giver)
        givable = [seat for seat in EVERY if giver.may_give(seat) and not exceeds(seat, wanted)]
        if left is None:
            assert not givable, (wanted, giver)
        else:
            assert left in givable
            assert not [seat for seat in givable if exceeds(seat, left)], (wanted, giver)


def test_a_seat_that_is_givable_is_left_as_it_is() -> None:
    for wanted, giver in product(LIMITED, EVERY):
        if giver.may_give(wanted):
            assert wanted.limited_to(giver) == wanted


@pytest.mark.parametrize(
    ("after", "is_less"),
    [
        (Rights(Role.EDITOR, frozenset({A})), False),
        (Rights(Role.ADMIN, frozenset({A, B}), may_approve=True), False),
        (Rights(Role.VIEWER, frozenset({A})), True),
        (Rights(Role.EDITOR, frozenset({B})), True),
        (Rights(Role.EDITOR, frozenset({A}), needs_approval=True), True),
    ],
)
def test_what_is_less_than_before(after: Rights, is_less: bool) -> None:
    before = Rights(Role.EDITOR, frozenset({A}), may_approve=True)
    assert after.is_less_than(before) is is_less

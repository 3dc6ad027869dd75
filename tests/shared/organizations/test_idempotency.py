"""Is a request with a key answered once, by whomever, wherever and whenever the key comes again?"""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from shared.core.ids import CustomerId, new_id
from shared.core.reach import Reach
from shared.organizations.errors import KeyReused
from shared.organizations.idempotency import RequestKey, earlier_answer, find_answer, keep_answer
from shared.organizations.models import IdempotencyKey
from tests.builders import an_organization

ONCE = RequestKey("POST /posts", "key", b"body")


@pytest.fixture
def reach(session: Session) -> Reach:
    return Reach(an_organization(session).id)


def answer_once(session: Session, reach: Reach) -> None:
    assert earlier_answer(session, reach, ONCE) is None
    keep_answer(session, reach, ONCE, status=201, response="first")


class TestKey:
    def test_brings_the_answer_back(self, session: Session, reach: Reach) -> None:
        answer_once(session, reach)
        assert earlier_answer(session, reach, ONCE) == "first"
        assert find_answer(session, reach, ONCE) == "first"

    def test_is_of_one_organization_and_one_route(self, session: Session, reach: Reach) -> None:
        answer_once(session, reach)
        other = Reach(an_organization(session).id)
        elsewhere = RequestKey("POST /media", ONCE.key, b"other body")
        assert find_answer(session, other, ONCE) is None
        assert earlier_answer(session, other, ONCE) is None
        assert earlier_answer(session, reach, elsewhere) is None

    def test_is_of_those_who_see_the_same_customers(self, session: Session, reach: Reach) -> None:
        """A key that somebody else used for another customer's post would bring back that post."""
        one, two = CustomerId(new_id()), CustomerId(new_id())
        limited = Reach(reach.organization_id, [one, two])
        answer_once(session, reach)
        answer_once(session, limited)
        assert find_answer(session, Reach(reach.organization_id, [two, one]), ONCE) == "first"
        for customers in ([one], [two], []):
            assert find_answer(session, Reach(reach.organization_id, customers), ONCE) is None

    def test_does_for_one_body(self, session: Session, reach: Reach) -> None:
        answer_once(session, reach)
        other = RequestKey(ONCE.scope, ONCE.key, b"other body")
        for ask in (earlier_answer, find_answer):
            with pytest.raises(KeyReused):
                ask(session, reach, other)

    @pytest.mark.parametrize("request_hash", [b"body", b"other body"])
    def test_is_new_after_a_day(self, session: Session, reach: Reach, request_hash: bytes) -> None:
        answer_once(session, reach)
        session.execute(text("update idempotency_keys set expires_at = now()"))
        again = RequestKey(ONCE.scope, ONCE.key, request_hash)
        assert find_answer(session, reach, again) is None
        assert earlier_answer(session, reach, again) is None
        keep_answer(session, reach, again, status=201, response="second")
        assert earlier_answer(session, reach, again) == "second"
        assert session.scalar(select(IdempotencyKey.expires_at > func.now()))

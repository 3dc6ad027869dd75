"""Is a request with a key answered once, by whomever, wherever and whenever the key comes again?"""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from shared.core.ids import OrganizationId
from shared.organizations.errors import KeyReused
from shared.organizations.idempotency import RequestKey, earlier_answer, find_answer, keep_answer
from shared.organizations.models import IdempotencyKey
from tests.builders import an_organization

ONCE = RequestKey("POST /posts", "key", b"body")


@pytest.fixture
def organization_id(session: Session) -> OrganizationId:
    return an_organization(session).id


def answer_once(session: Session, organization_id: OrganizationId) -> None:
    assert earlier_answer(session, organization_id, ONCE) is None
    keep_answer(session, organization_id, ONCE, status=201, response="first")


class TestKey:
    def test_brings_the_answer_back(
        self, session: Session, organization_id: OrganizationId
    ) -> None:
        answer_once(session, organization_id)
        assert earlier_answer(session, organization_id, ONCE) == "first"
        assert find_answer(session, organization_id, ONCE) == "first"

    def test_is_of_one_organization_and_one_route(
        self, session: Session, organization_id: OrganizationId
    ) -> None:
        answer_once(session, organization_id)
        other = an_organization(session).id
        elsewhere = RequestKey("POST /media", ONCE.key, b"other body")
        assert find_answer(session, other, ONCE) is None
        assert earlier_answer(session, other, ONCE) is None
        assert earlier_answer(session, organization_id, elsewhere) is None

    def test_does_for_one_body(self, session: Session, organization_id: OrganizationId) -> None:
        answer_once(session, organization_id)
        other = RequestKey(ONCE.scope, ONCE.key, b"other body")
        for ask in (earlier_answer, find_answer):
            with pytest.raises(KeyReused):
                ask(session, organization_id, other)

    @pytest.mark.parametrize("request_hash", [b"body", b"other body"])
    def test_is_new_after_a_day(
        self, session: Session, organization_id: OrganizationId, request_hash: bytes
    ) -> None:
        answer_once(session, organization_id)
        session.execute(text("update idempotency_keys set expires_at = now()"))
        again = RequestKey(ONCE.scope, ONCE.key, request_hash)
        assert find_answer(session, organization_id, again) is None
        assert earlier_answer(session, organization_id, again) is None
        keep_answer(session, organization_id, again, status=201, response="second")
        assert earlier_answer(session, organization_id, again) == "second"
        assert session.scalar(select(IdempotencyKey.expires_at > func.now()))

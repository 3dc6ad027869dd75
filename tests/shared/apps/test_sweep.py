"""Do programs that nobody lets in go, and codes that nobody can use, and nothing else?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.apps.device import CLIENT_ID
from shared.apps.models import DeviceCode, OAuthApp, OAuthCode, OAuthGrant
from shared.apps.sweep import (
    delete_expired_device_codes,
    delete_old_codes,
    delete_revoked_grants,
    delete_unused_apps,
    delete_unused_grants,
)
from shared.core.ids import new_id
from shared.organizations.models import Member
from tests.builders import a_member, an_organization


def ago(**time: int) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


def a_program(session: Session, client_id: str = "pcd_1", **columns: Any) -> OAuthApp:
    program = OAuthApp(
        id=new_id(), client_id=client_id, name="Tool", redirect_uris=[],
        **{"created_at": ago(days=31)} | columns,
    )  # fmt: skip
    session.add(program)
    session.flush()
    return program


def a_grant(session: Session, program: OAuthApp, member: Member, **columns: Any) -> None:
    session.add(
        OAuthGrant(
            id=new_id(), app_id=program.id, organization_id=member.organization_id,
            user_id=member.user_id, token_hash=b"t", scopes=[], **columns,
        )
    )  # fmt: skip
    session.flush()


def left(session: Session, step: Callable[[], int], table: type[Any]) -> int:
    step()
    return session.scalar(select(func.count()).select_from(table)) or 0


class TestPrograms:
    @pytest.mark.parametrize(
        ("columns", "stays"),
        [
            ({}, 0),
            ({"created_at": ago(days=29)}, 1),
            ({"last_used_at": ago(days=29)}, 1),
            ({"last_used_at": ago(days=31)}, 0),
            ({"client_id": "pca_1"}, 1),
            ({"client_id": "pcdX1"}, 1),
            ({"client_id": CLIENT_ID}, 1),
        ],
    )
    def test_unused_ones_go_after_thirty_days(
        self, session: Session, columns: dict[str, Any], stays: int
    ) -> None:
        a_program(session, **columns)
        assert left(session, delete_unused_apps, OAuthApp) == stays

    def test_one_that_is_let_in_stays(self, session: Session, member: Member) -> None:
        a_grant(session, a_program(session, last_used_at=ago(days=400)), member)
        assert left(session, delete_unused_apps, OAuthApp) == 1

    @pytest.mark.parametrize(
        ("revoked", "stays"), [(None, 1), (ago(days=29), 1), (ago(days=31), 0)]
    )
    def test_a_consent_that_was_taken_back_goes_after_thirty_days(
        self, session: Session, member: Member, revoked: datetime | None, stays: int
    ) -> None:
        a_grant(session, a_program(session, CLIENT_ID), member, revoked_at=revoked)
        assert left(session, delete_revoked_grants, OAuthGrant) == stays

    def test_one_that_was_shown_out_goes(self, session: Session, member: Member) -> None:
        program = a_program(session, last_used_at=ago(days=31))
        a_grant(session, program, member, revoked_at=ago(days=2))
        assert left(session, delete_unused_apps, OAuthApp) == 0

    @pytest.mark.parametrize(
        ("columns", "stays"),
        [
            ({"last_used_at": ago(days=119), "updated_at": ago(days=400)}, 1),
            ({"last_used_at": ago(days=121)}, 0),
            ({"last_used_at": None, "updated_at": ago(days=119)}, 1),
            ({"last_used_at": None, "updated_at": ago(days=121)}, 0),
        ],
    )
    def test_a_consent_that_nobody_uses_goes_after_120_days(
        self, session: Session, member: Member, columns: dict[str, Any], stays: int
    ) -> None:
        a_grant(session, a_program(session, CLIENT_ID), member, **columns)
        assert left(session, delete_unused_grants, OAuthGrant) == stays


class TestCodes:
    @pytest.mark.parametrize(("expired", "stays"), [(ago(hours=1), 1), (ago(hours=25), 0)])
    def test_a_code_is_known_for_a_day(
        self, session: Session, member: Member, expired: datetime, stays: int
    ) -> None:
        program = a_program(session, "pca_1")
        session.add(
            OAuthCode(
                code_hash=b"c", app_id=program.id, organization_id=member.organization_id,
                user_id=member.user_id, redirect_uri="", scopes=[], expires_at=expired,
            )
        )  # fmt: skip
        session.flush()
        assert left(session, delete_old_codes, OAuthCode) == stays

    @pytest.mark.parametrize(("expires", "stays"), [(ago(days=-1), 1), (ago(minutes=1), 0)])
    def test_a_device_code_goes_when_it_expires(
        self, session: Session, expires: datetime, stays: int
    ) -> None:
        program = a_program(session, CLIENT_ID)
        session.add(
            DeviceCode(device_code_hash=b"d", user_code="A", app_id=program.id, expires_at=expires)
        )
        session.flush()
        assert left(session, delete_expired_device_codes, DeviceCode) == stays

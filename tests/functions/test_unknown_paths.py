"""What does a path that is not there cost? No statement, whichever function the gateway sends it to."""

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session

from local.docs.openapi import apps
from shared.organizations.models import Member
from tests.builders import a_member, an_organization
from tests.counting import count_statements
from tests.gateway import as_member, by_key

PATHS = ("/no-such-path", "/posts/no/such/path", "/user/no-such-path", "/.env", "/wp-login.php")


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session))


@pytest.mark.parametrize("app", apps(), ids=lambda app: str(app.title))
@pytest.mark.parametrize("sender", ["session", "key"])
def test_an_unknown_path_costs_no_statement(
    session: Session, aws: None, member: Member, app: FastAPI, sender: str
) -> None:
    gateway = (as_member if sender == "session" else by_key)(app, session, member)
    for path in PATHS:
        with count_statements() as cost:
            answer = gateway.get(path)
        assert (answer.status, cost.sql) == (404, [])

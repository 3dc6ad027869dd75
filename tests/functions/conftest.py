"""What do tests of functions start from: an organization, its owner and a channel; those of posts, queues and a caller."""

import boto3
import pytest
from sqlalchemy.orm import Session

from functions.posts.app import app
from shared.channels.models import Channel
from shared.organizations.models import Member, Organization
from tests.builders import a_channel, a_member, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, as_member


@pytest.fixture
def queues(aws: None, configure: Configure) -> None:
    """Make the queues that posts are armed through."""
    sqs = boto3.client("sqs")
    configure(
        PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"],
        STAGE_QUEUE_URL=sqs.create_queue(QueueName="stage")["QueueUrl"],
    )


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session)


@pytest.fixture
def member(session: Session, organization: Organization) -> Member:
    return a_member(session, organization)


@pytest.fixture
def caller(session: Session, queues: None, member: Member) -> Gateway:
    """Call the function `posts` as the member."""
    return as_member(app, session, member)


@pytest.fixture
def channel(session: Session, organization: Organization) -> Channel:
    return a_channel(session, organization, remote_id="17@social.example")

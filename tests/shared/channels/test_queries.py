"""Reading channels: in one statement, of one organization, without tokens."""

import pytest
from sqlalchemy import func
from sqlalchemy.orm import Session

from shared.channels import queries
from shared.channels.errors import ChannelNotFound, ChannelsNotFound
from shared.channels.queries import ChannelSummary
from shared.core.ids import ChannelId, new_id
from shared.core.reach import Reach
from tests.builders import a_channel, an_organization
from tests.counting import count_statements


class TestGetChannels:
    def test_all_of_them_by_id_in_one_statement(self, session: Session) -> None:
        organization = an_organization(session)
        ids = [a_channel(session, organization).id for _ in range(3)]
        a_channel(session, organization)
        with count_statements() as cost:
            found = queries.get_channels(session, Reach(organization.id), ids)
        assert cost.statements == 1
        assert set(found) == set(ids)
        assert all(key == channel.id for key, channel in found.items())

    def test_missing_foreign_and_deleted_ones_are_named(self, session: Session) -> None:
        organization = an_organization(session)
        ours = a_channel(session, organization).id
        wrong = {
            a_channel(session, an_organization(session)).id,
            a_channel(session, organization, deleted_at=func.now()).id,
            ChannelId(new_id()),
        }
        with pytest.raises(ChannelsNotFound) as error:
            queries.get_channels(session, Reach(organization.id), [ours, *wrong])
        assert error.value.ids == wrong

    def test_none_are_asked_for(self, session: Session) -> None:
        assert queries.get_channels(session, Reach(an_organization(session).id), []) == {}


class TestGetChannel:
    def test_another_organizations(self, session: Session) -> None:
        channel = a_channel(session, an_organization(session))
        with pytest.raises(ChannelNotFound):
            queries.get_channel(session, Reach(an_organization(session).id), channel.id)

    def test_no_token_is_read(self) -> None:
        assert not {"access_token", "refresh_token", "details"} & set(
            ChannelSummary.__dataclass_fields__
        )

"""What publishing and composing read of files."""

from sqlalchemy.orm import Session

from shared.core.ids import MediaId, new_id
from shared.media.library import get_media_files
from shared.media.models import MediaState, MediaVariant
from shared.media.queries import MARK_DELETED
from tests.builders import a_media, an_organization
from tests.counting import count_statements


class TestGetMediaFiles:
    def test_files_come_with_their_copies_in_one_statement(self, session: Session) -> None:
        organization = an_organization(session)
        plain, copied = a_media(session, organization), a_media(session, organization, alt="A gull")
        session.add_all(
            MediaVariant(
                organization_id=organization.id, media_id=copied.id, name=name, key=f"{name}-key",
                content_type="image/jpeg", size_bytes=10, width=5, height=4,
            )
            for name in ("one", "two")
        )  # fmt: skip
        session.flush()
        ids = [plain.id, copied.id, MediaId(new_id())]
        with count_statements() as cost:
            files = get_media_files(session, organization.id, ids)
        assert cost.statements == 1
        found = {file.id: file for file in files}
        assert set(found) == {plain.id, copied.id}
        assert sorted(v.name for v in found[copied.id].variants) == ["one", "two"]
        assert (found[plain.id].variants, found[copied.id].alt) == ([], "A gull")

    def test_deleted_files_are_marked_and_unfinished_ones_left_out(self, session: Session) -> None:
        organization = an_organization(session)
        organization_id = organization.id
        deleted = a_media(session, organization)
        MARK_DELETED.run(session, organization_id, deleted.id, MediaState.READY)
        unfinished = a_media(session, organization, state=MediaState.UPLOADING)
        ids = [deleted.id, unfinished.id]
        (file,) = get_media_files(session, organization_id, ids)
        assert (file.id, file.is_deleted) == (deleted.id, True)

    def test_files_of_others_are_left_out(self, session: Session) -> None:
        file = a_media(session, an_organization(session))
        other = an_organization(session).id
        assert get_media_files(session, other, [file.id]) == []

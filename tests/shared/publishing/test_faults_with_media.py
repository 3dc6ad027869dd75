"""Every provider's posts with a picture, with every answer that can go wrong: to the file, and to the post that shows it.

In the end there is one post with its picture, or the part is unconfirmed and there is one or none.
"""

from collections import Counter

import pytest

from shared.aws import storage
from tests.fakes.stand_ins import FAULTS, GIVEN_UP, STAND_INS
from tests.shared.publishing.test_faults_of_servers import A_SERVER_OF_ITS_OWN, publish, served
from tests.shared.publishing.world import MOMENTS, World

pytestmark = pytest.mark.broad

# Among X, LinkedIn and Bluesky a server that keeps no keys differs in nothing that a picture takes part in.
A_SERVER = [
    (slug, keeps)
    for slug, keeps in [*A_SERVER_OF_ITS_OWN, ("mastodon", True)]
    if keeps or slug == "mastodon-custom"
]


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "read_range", lambda _key, _start, length: b"p" * length)
    moved = tuple(name for name in MOMENTS["posts"] if name != "created_at")
    monkeypatch.setitem(MOMENTS, "posts", moved)


class TestPictures:
    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER)
    def test_one_post_or_a_doubt(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        """Finding 1.2: no test published a picture on a server whose answer was lost."""
        server = STAND_INS[slug](
            keeps_keys=keeps_keys, by_text={name: (fault, False) for name, fault in FAULTS.items()}
        )
        with served(server, monkeypatch):
            rows = publish(world, server, *FAULTS, with_media=True)
        made = Counter(post.text for post in server.made)
        for name in FAULTS:
            when = f"{name}: {made[name]} posts, {rows[name]['state']}"
            if rows[name]["state"] == "unconfirmed":
                assert made[name] <= 1, when
            else:
                assert (rows[name]["state"], made[name]) == ("published", 1), when
        states = {row["state"] for row in rows.values()}
        assert "published" in states
        if slug == "mastodon-custom":
            assert {post.files for post in server.made} == {1}
            assert "unconfirmed" in states or keeps_keys

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER)
    def test_a_spoiled_upload_is_repeated_and_there_is_one_post(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        """Finding 1.2: whatever became of the first copy of the file, the post goes out once and shows one."""
        faults = list(FAULTS.values())
        server = STAND_INS[slug](keeps_keys=keeps_keys, upload_faults=faults)
        texts = [f"post {number}" for number in range(len(faults))]
        with served(server, monkeypatch):
            rows = publish(world, server, *texts, with_media=True)
        assert not server.upload_faults
        found = {name: row["state"] for name, row in rows.items()}
        assert found == dict.fromkeys(texts, "published")
        assert Counter(post.text for post in server.made) == Counter(texts)

    @pytest.mark.parametrize(("slug", "keeps_keys"), A_SERVER)
    def test_a_file_that_never_arrives_makes_no_post(
        self, world: World, monkeypatch: pytest.MonkeyPatch, slug: str, keeps_keys: bool
    ) -> None:
        """Finding 1.2: what cannot be posted with its picture fails, and is not posted without it."""
        faults = [fault for _ in range(60) for fault in GIVEN_UP.values()]
        server = STAND_INS[slug](keeps_keys=keeps_keys, upload_faults=faults)
        with served(server, monkeypatch):
            rows = publish(world, server, "one", with_media=True)
        assert (rows["one"]["state"], server.made) == ("failed", [])
        assert server.upload_faults

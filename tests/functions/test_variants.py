"""Whether the copies that platforms need are made of every upload, once, and found when a post goes out."""

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
import pyvips
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from functions.variants.app import handler
from shared.core.ids import new_id
from shared.media.library import get_media_files
from shared.media.models import Media, MediaVariant
from shared.media.pick import MediaFile, pick
from shared.media.probe import probe
from shared.organizations.models import Organization
from shared.providers.registry import provider, specs
from shared.providers.spec import ImageRules, MediaRules
from tests.builders import a_media
from tests.conftest import Configure
from tests.counting import count_statements
from tests.shared.media.files import (
    SECRET,
    a_file,
    a_picture,
    an_animation,
    an_mp4,
    box,
    with_metadata,
)
from tests.shared.media.storage import BUCKET, keys, make_storage, stored

EVENT = Path(__file__).parents[2] / "events" / "variants_message.json"


class Context:
    """What Lambda tells a function of itself."""

    function_name, memory_limit_in_mb = "variants", 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:variants"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


def uploaded(
    session: Session, organization: Organization, content: bytes, content_type: str, **columns: Any
) -> Media:
    key = f"files/{organization.id}/{new_id()}.{content_type.split('/')[1]}"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
    values = {"content_type": content_type, "size_bytes": len(content), "variants_made": False}
    return a_media(session, organization, key=key, **values | columns)


def an_event(*files: Media) -> dict[str, Any]:
    """A batch with a message for each file."""
    event: dict[str, Any] = json.loads(EVENT.read_text())
    (record,) = event["Records"]
    bodies = {
        file.id: {"mediaId": str(file.id), "organizationId": str(file.organization_id)}
        for file in files
    }
    event["Records"] = [
        record | {"messageId": str(media_id), "body": json.dumps(body)}
        for media_id, body in bodies.items()
    ]
    return event


def deliver(*files: Media) -> dict[str, Any]:
    answer: dict[str, Any] = handler(an_event(*files), Context())
    return answer


def read(session: Session, file: Media) -> MediaFile:
    session.expire_all()
    organization_id = file.organization_id
    (found,) = get_media_files(session, organization_id, [file.id])
    return found


class TestMade:
    def test_every_platform_finds_a_picture_it_takes(
        self, session: Session, organization: Organization
    ) -> None:
        content = a_picture(".tif", width=1_400, height=1_000)
        file = uploaded(session, organization, content, "image/tiff", width=1_400, height=1_000)
        assert deliver(file) == {"batchItemFailures": []}
        found = read(session, file)
        assert found.variants_made
        for slug, rules in ((spec.slug, rules) for spec in specs() for rules in spec.all_media):
            if not rules.images.max_count:
                continue
            picked = pick(found, rules)
            assert picked is not None, slug
            assert picked.content_type in rules.images.types
            assert picked.size_bytes <= (rules.images.max_bytes or picked.size_bytes)
            kept = stored(picked.key)
            assert (len(kept["content"]), kept["ContentType"]) == (
                picked.size_bytes,
                picked.content_type,
            )

    def test_thumbnail_is_made_and_a_chosen_one_stays(
        self, session: Session, organization: Organization
    ) -> None:
        content = a_picture(".png", width=1_000, height=500)
        own = uploaded(session, organization, content, "image/png", width=1_000, height=500)
        other = uploaded(
            session, organization, content, "image/png", width=1_000, height=500, thumbnail_key="x"
        )
        deliver(own, other)
        made = stored(str(read(session, own).thumbnail_key))
        shown = pyvips.Image.new_from_buffer(made["content"], "")
        assert (shown.width, shown.height, made["ContentType"]) == (512, 256, "image/jpeg")
        assert read(session, other).thumbnail_key == "x"

    def test_a_mode_of_a_platform_has_its_own_copy(
        self, session: Session, organization: Organization
    ) -> None:
        content = a_picture(".png", width=64, height=48, alpha=True)
        file = uploaded(session, organization, content, "image/png", width=64, height=48)
        deliver(file)
        spec, found = provider("linkedin-page").spec, read(session, file)
        assert pick(found, spec.media_for({})) == found.original
        page = pick(found, spec.media_for({"post_as_images_carousel": True}))
        assert page is not None
        assert (page.content_type, page.width, page.height) == ("image/jpeg", 64, 48)

    def test_second_delivery_changes_nothing(
        self, session: Session, organization: Organization
    ) -> None:
        file = uploaded(session, organization, a_picture(".tif"), "image/tiff", width=64, height=48)
        deliver(file)
        first, objects = read(session, file), keys()
        assert first.variants
        deliver(file)
        assert read(session, file) == first
        assert keys() == objects

    def test_delivery_that_died_before_it_recorded_is_made_up_for(
        self, session: Session, organization: Organization
    ) -> None:
        file = uploaded(session, organization, a_picture(".tif"), "image/tiff", width=64, height=48)
        deliver(file)
        first, objects = read(session, file), keys()
        session.execute(delete(MediaVariant))
        session.execute(update(Media).values(variants_made=False, thumbnail_key=None))
        assert deliver(file) == {"batchItemFailures": []}
        assert read(session, file) == first
        assert keys() == objects

    def test_costs_two_statements(self, session: Session, organization: Organization) -> None:
        file = uploaded(session, organization, a_picture(".tif"), "image/tiff", width=64, height=48)
        with count_statements() as cost:
            deliver(file)
        assert cost.statements == 2


class TestNotMade:
    @pytest.mark.parametrize("content_type", ["image/gif", "image/webp", "image/png"])
    def test_what_moves_is_left_alone(
        self,
        session: Session,
        organization: Organization,
        content_type: str,
    ) -> None:
        content = an_animation(f".{content_type.split('/')[1]}")
        file = uploaded(
            session, organization, content, content_type, width=32, height=32, moves=True
        )
        only_jpeg = MediaRules(images=ImageRules(max_count=1, types=("image/jpeg",)))
        deliver(file)
        found = read(session, file)
        assert (found.variants, found.variants_made) == ([], True)
        assert found.thumbnail_key
        assert pick(found, only_jpeg) is None

    def test_damaged_picture_keeps_nobody_waiting_and_is_marked(
        self, session: Session, organization: Organization
    ) -> None:
        """Finding 1.9: what the decoder finds is not only logged."""
        content = a_picture(".png", width=300, height=300)[:20_000]
        file = uploaded(session, organization, content, "image/png", width=300, height=300)
        assert deliver(file) == {"batchItemFailures": []}
        found = read(session, file)
        assert (found.variants_made, found.damage) == (True, "it cannot be decoded completely")

    def test_videos_and_missing_files_are_skipped(
        self, session: Session, organization: Organization
    ) -> None:
        video = uploaded(session, organization, an_mp4(), "video/mp4")
        objects = keys()
        deliver(video, Media(id=uuid.uuid4(), organization_id=organization.id))
        assert keys() == objects
        assert session.scalar(select(func.count()).select_from(MediaVariant)) == 0

    def test_one_bad_message_does_not_hold_the_others(
        self, session: Session, organization: Organization
    ) -> None:
        good, bad = (
            uploaded(session, organization, a_picture(".tif"), "image/tiff", width=64, height=48)
            for _ in range(2)
        )
        event = an_event(bad, good)
        event["Records"][0]["body"] = "{}"
        assert handler(event, Context()) == {"batchItemFailures": [{"itemIdentifier": str(bad.id)}]}
        assert read(session, good).variants_made
        assert not read(session, bad).variants_made


class TestTurned:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
    @pytest.mark.parametrize("orientation", [2, 3, 6])
    def test_every_platform_finds_an_upright_copy(
        self, session: Session, organization: Organization, suffix: str, orientation: int
    ) -> None:
        """Image servers drop Exif data without turning the picture. Upside down and mirrored count too."""
        content = a_picture(suffix, orientation=orientation)
        info = probe(a_file(content))
        assert info.turned
        file = uploaded(
            session, organization, content, info.content_type,
            width=info.width, height=info.height, turned=True,
        )  # fmt: skip
        deliver(file)
        found = read(session, file)
        shown = pyvips.Image.new_from_buffer(content, "").autorot()
        for slug, rules in ((spec.slug, rules) for spec in specs() for rules in spec.all_media):
            if not rules.images.max_count:
                continue
            picked = pick(found, rules)
            assert picked is not None, slug
            copy = pyvips.Image.new_from_buffer(stored(picked.key)["content"], "")
            assert copy.get_typeof("orientation") == 0
            assert (copy.width, copy.height) == (shown.width, shown.height)
            assert (copy.extract_band(0) - shown.extract_band(0)).abs().avg() < 10

    def test_one_copy_serves_all_platforms_that_take_its_type(
        self, session: Session, organization: Organization
    ) -> None:
        content = a_picture(orientation=6)
        file = uploaded(
            session, organization, content, "image/jpeg", width=48, height=64, turned=True
        )
        deliver(file)
        assert len(read(session, file).variants) == 1


class TestExaminedAgain:
    """Finding 2.10, of files that were stored before metadata were removed."""

    def test_metadata_leave_a_stored_picture_and_facts_are_read_anew(
        self, session: Session, organization: Organization
    ) -> None:
        content = with_metadata(".jpg", orientation=6)
        file = uploaded(
            session, organization, content, "image/jpeg", width=64, height=48,
            examined=False, variants_made=True,
        )  # fmt: skip
        assert deliver(file) == {"batchItemFailures": []}
        found, original = read(session, file), stored(file.key)["content"]
        assert SECRET not in original
        assert found.original.size_bytes == len(original)
        assert (found.is_examined, found.turned, found.variants_made) == (True, True, True)
        assert (found.original.width, found.original.height) == (48, 64)

    def test_a_video_too(self, session: Session, organization: Organization) -> None:
        place = box(b"udta", box(b"\xa9xyz", SECRET))
        content = an_mp4(in_moov=place)
        file = uploaded(
            session, organization, content, "video/mp4", examined=False, variants_made=True
        )
        deliver(file)
        found, original = read(session, file), stored(file.key)["content"]
        assert (len(original), SECRET in original) == (len(content), False)
        assert (found.is_examined, found.original.duration_ms) == (True, 12_345)

    def test_a_moving_picture_of_before_is_found_to_move(
        self, session: Session, organization: Organization
    ) -> None:
        content = an_animation(".webp")
        file = uploaded(session, organization, content, "image/webp", examined=False)
        deliver(file)
        assert read(session, file).moves

    @pytest.mark.parametrize("content", [b"%PDF-1.7 " + bytes(100), None])
    def test_what_is_gone_or_would_be_refused_today_does_not_go_out(
        self, session: Session, organization: Organization, content: bytes | None
    ) -> None:
        file = uploaded(session, organization, content or b"x", "image/jpeg", examined=False)
        if content is None:
            boto3.client("s3").delete_object(Bucket=BUCKET, Key=file.key)
        assert deliver(file) == {"batchItemFailures": []}
        found = read(session, file)
        assert found.is_examined
        assert found.damage is not None
        assert pick(found, provider("mastodon").spec.media) is None

    def test_until_then_no_platform_gets_it(
        self, session: Session, organization: Organization
    ) -> None:
        file = uploaded(session, organization, a_picture(), "image/jpeg", examined=False)
        assert pick(read(session, file), provider("mastodon").spec.media) is None

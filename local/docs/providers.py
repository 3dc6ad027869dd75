"""Writes `docs/providers.md`, what each platform accepts, from the providers' tables.

python -m local.docs.providers            write the page
python -m local.docs.providers --check    fail if the page does not match the code
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from shared.providers.base import (
    CanListPages,
    CanLookUp,
    CanMention,
    CanReadServer,
    CanReply,
    CanReport,
    CanRevoke,
    CanRunTools,
    CanStage,
    Provider,
)
from shared.providers.registry import provider, slugs
from shared.providers.rules import UNIT_NAMES
from shared.providers.spec import (
    Fields,
    IdempotencyForm,
    ImageRules,
    MediaMode,
    OAuth1,
    OAuth2,
    ProviderSpec,
    VideoRules,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"

_HEAD = """# Providers

Made from the tables in `shared/providers/platforms` by `make docs`; change them there. How to add one:
[adding-a-provider.md](adding-a-provider.md).

| slug | platform | connects by | text | pictures | videos | parts | powers |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""

_POWERS: Mapping[type, str] = {
    CanReply: "threads",
    CanStage: "staged media",
    CanLookUp: "look-up",
    CanListPages: "choice of page",
    CanMention: "mentions",
    CanReport: "analytics",
    CanRunTools: "tools",
    CanRevoke: "revoking",
}


def markdown() -> str:
    """Return the page's text: one table of all providers, then a section for each, in the order in which they are offered."""
    all_providers = [provider(slug) for slug in slugs()]
    rows = "".join(_row(one) for one in all_providers)
    return _HEAD + rows + "".join(_section(one) for one in all_providers)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` report whether it is current; return the exit status."""
    if list(arguments) != ["--check"]:
        PAGE.write_text(markdown())
        return 0
    if not PAGE.exists() or PAGE.read_text() != markdown():
        print("docs/providers.md does not match the code; run `make docs`.", file=sys.stderr)
        return 1
    return 0


def _row(one: Provider) -> str:
    spec = one.spec
    cells = (
        f"[`{spec.slug}`](#{spec.slug})",
        spec.listed_as or spec.name,
        _auth(spec),
        f"{spec.text.max_length:,}",
        str(spec.media.images.max_count or "-"),
        str(spec.media.videos.max_count or "-"),
        str(spec.max_parts),
        ", ".join(name for power, name in _POWERS.items() if isinstance(one, power)) or "-",
    )
    return f"| {' | '.join(cells)} |\n"


def _section(one: Provider) -> str:
    return f"\n## {one.spec.slug}\n\n" + "".join(f"- {line}\n" for line in _lines(one))


def _lines(one: Provider) -> Iterator[str]:
    spec = one.spec
    yield f"{spec.listed_as or spec.name}; the platform's own documentation: <{spec.docs_url}>"
    yield f"Connecting: {_connecting(spec)}"
    yield f"Text: {_text(spec)}"
    yield f"Pictures: {_pictures(spec.media.images)}"
    yield f"Videos: {_videos(spec.media.videos)}"
    if spec.media.images.max_count and spec.media.videos.max_count:
        together = "may be mixed" if spec.media.mixed else "not both in one part"
        yield f"Pictures and videos: {together}" + (
            "" if spec.media.replies else "; none in replies"
        )
    for mode in spec.media_modes:
        yield f"As {mode.name} (`{mode.setting}`): {_mode(mode)}"
    yield f"A repeated request: {_repeats(one)}"
    yield f"Settings: {_settings(spec)}"
    yield f"A post's title: {_title(spec)}"


def _title(spec: ProviderSpec) -> str:
    if not spec.title_setting:
        return "is not sent"
    return f"fills `{spec.title_setting}` where that is empty"


def _auth(spec: ProviderSpec) -> str:
    return {OAuth2: "OAuth 2.0", OAuth1: "OAuth 1.0a", Fields: "form"}[type(spec.auth)]


def _connecting(spec: ProviderSpec) -> str:
    if isinstance(spec.auth, Fields):
        return f"a form ({', '.join(field.label.lower() for field in spec.auth.fields)})"
    keys = [key for key in (spec.auth.client_id_setting, spec.auth.client_secret_setting) if key]
    credentials = (
        " and ".join(f"`{key}`" for key in keys)
        if keys
        else "an application registered while connecting"
    )
    scopes = (
        f"; scopes {', '.join(f'`{scope}`' for scope in spec.auth.scopes)}"
        if isinstance(spec.auth, OAuth2)
        else ""
    )
    page = "; then the member chooses a platform page" if spec.choose_page else ""
    return f"{_auth(spec)} with {credentials}{scopes}{page}"


def _text(spec: ProviderSpec) -> str:
    rules = spec.text
    more = "".join(
        (
            f", at most {rules.max_bytes:,} bytes" if rules.max_bytes else "",
            f"; a link counts {rules.link_length}" if rules.link_length else "",
            f"; written as {rules.editor}",
        )
    )
    return f"{rules.max_length:,} {UNIT_NAMES[rules.unit]}{more}"


def _pictures(rules: ImageRules) -> str:
    if not rules.max_count:
        return "none"
    limits = [f"at most {rules.max_count}", ", ".join(kind.split("/")[1] for kind in rules.types)]
    limits += [f"{rules.max_bytes:,} bytes"] if rules.max_bytes else []
    limits += (
        [f"{rules.max_width:,} by {rules.max_height:,} pixels"]
        if rules.max_width and rules.max_height
        else []
    )
    limits += [f"{rules.max_pixels:,} pixels"] if rules.max_pixels else []
    limits += (
        [f"alternative text of {rules.max_alt_length:,} characters"] if rules.max_alt_length else []
    )
    return "; ".join(limits) + " (a copy that fits is made of those that do not)"


def _videos(rules: VideoRules) -> str:
    if not rules.max_count:
        return "none"
    limits = [f"at most {rules.max_count}", ", ".join(kind.split("/")[1] for kind in rules.types)]
    limits += [f"{rules.max_bytes:,} bytes"] if rules.max_bytes else []
    limits += [f"at least {_duration(rules.min_duration)}"] if rules.min_duration else []
    limits += [f"at most {_duration(rules.max_duration)}"] if rules.max_duration else []
    return "; ".join(limits)


def _mode(mode: MediaMode) -> str:
    kinds = {"pictures": _pictures(mode.media.images), "videos": _videos(mode.media.videos)}
    return "; ".join(
        f"{kind}: {rules}" if rules != "none" else f"no {kind}" for kind, rules in kinds.items()
    )


def _duration(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"


def _repeats(one: Provider) -> str:
    promise = one.spec.idempotency
    if promise.form is IdempotencyForm.HEADER:
        lasting = f" for {_duration(promise.lifetime)}" if promise.lifetime else ""
        where = (
            " if the server's software is known to support it; otherwise a post without an answer is looked up"
            if isinstance(one, CanReadServer)
            else ""
        )
        return f"recognized by a header{lasting}{where} ({promise.source})"
    if promise.form is IdempotencyForm.RECORD_KEY:
        return f"recognized by the record's key, forever ({promise.source})"
    return "would create a second post; without an answer, the post is " + (
        "looked up" if isinstance(one, CanLookUp) else "unconfirmed"
    )


def _settings(spec: ProviderSpec) -> str:
    properties = spec.settings.model_json_schema().get("properties", {})
    return ", ".join(f"`{name}`" for name in properties) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

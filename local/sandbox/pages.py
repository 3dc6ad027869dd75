"""The html for browsers: a function for each page, from its content to HTML.

Statuses are the API's own entities, so people see exactly what a client would get. Links are paths, so they work under
any name of the machine.
"""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlsplit

from local.sandbox.accounts import Account
from local.sandbox.entities import Entity
from local.sandbox.statuses import Visibility

Thread = Sequence[Entity]

_SEEN_BY = {
    Visibility.UNLISTED: "unlisted",
    Visibility.PRIVATE: "followers only",
    Visibility.DIRECT: "only who is mentioned",
}
_MEANING = {
    "profile": "know who you are",
    "read": "read what you see",
    "read:accounts": "know who you are and find people",
    "read:statuses": "read your posts",
    "write": "post, and change your posts",
    "write:statuses": "post for you",
    "write:media": "upload pictures and videos",
}


def home(everybody: Sequence[Account], threads: Sequence[Thread]) -> str:
    """Show all accounts and the latest posts."""
    people = "".join(f"<li>{_person_link(account)}</li>" for account in everybody)
    nobody = '<p class="empty">Nobody yet. An account is created when a program is authorized.</p>'
    main = (
        '<section class="intro"><h1>A small social network on your own machine</h1>'
        "<p>Whatever Roost publishes here appears at once, and stays on this computer.</p></section>"
        f"<section><h2>Accounts</h2>{f'<ul class=people>{people}</ul>' if people else nobody}</section>"
        f"<section><h2>Latest posts</h2>{_threads(threads)}</section>"
    )
    return _layout("Home", main)


def profile(account: Account, threads: Sequence[Thread], *, posted: int) -> str:
    """Show an account and its threads, newest first."""
    name = escape(account.name)
    main = (
        f'<header class="profile"><img class="banner" src="/headers/{name}.png" alt="">'
        f'<img class="face" src="/avatars/{name}.png" alt="">'
        f"<div><h1>{escape(account.display_name)}</h1><p>@{name}</p></div>"
        f'<p class="count"><strong>{posted}</strong> {"post" if posted == 1 else "posts"}</p></header>'
        f"<section>{_threads(threads)}</section>"
    )
    return _layout(f"{account.display_name} (@{account.name})", main)


def single(thread: Thread, *, focused_id: str) -> str:
    """Show one status with its ancestors and descendants."""
    focused = next(entity for entity in thread if entity["id"] == focused_id)
    author = focused["account"]
    return _layout(f"{author['display_name']}: {focused_id}", _thread(thread, focused=focused_id))


def tag(name: str, found: Sequence[Entity]) -> str:
    """Show the statuses with a hashtag."""
    return _layout(
        f"#{name}",
        f"<h1>#{escape(name)}</h1>{_threads([[entity] for entity in found])}",
    )


def _threads(threads: Sequence[Thread]) -> str:
    if not threads:
        return '<p class="empty">Nothing has been posted yet.</p>'
    return "".join(_thread(thread) for thread in threads)


def _thread(thread: Thread, *, focused: str | None = None) -> str:
    posts = "".join(_post(entity, focused=entity["id"] == focused) for entity in thread)
    return f'<div class="thread">{posts}</div>'


def _post(entity: Entity, *, focused: bool) -> str:
    author = entity["account"]
    profile_path, path = _path(author["url"]), _path(entity["url"])
    return (
        f'<article class="post{" focused" if focused else ""}" id="status-{entity["id"]}">'
        f'<a class="face" href="{profile_path}"><img src="{_path(author["avatar"])}" alt=""></a>'
        f'<header><a href="{profile_path}"><strong>{escape(author["display_name"])}</strong> '
        f"<span>@{escape(author['acct'])}</span></a>"
        f'<a class="when" href="{path}">{_time(entity["created_at"])}</a></header>'
        f"{_body(entity)}{_gallery(entity['media_attachments'])}"
        f"<footer>{_footer(entity)}</footer></article>"
    )


def _body(entity: Entity) -> str:
    content = f'<div class="content" dir="auto">{entity["content"]}</div>'
    if not entity["spoiler_text"]:
        return content
    return f"<details><summary>{escape(entity['spoiler_text'])}</summary>{content}</details>"


def _time(created_at: str) -> str:
    day, _, clock = created_at.partition("T")
    return f'<time datetime="{created_at}">{day} {clock[:8]} UTC</time>'


def _gallery(files: Sequence[Entity]) -> str:
    if not files:
        return ""
    figures = "".join(_figure(file) for file in files)
    return f'<div class="gallery of-{len(files)}">{figures}</div>'


def _figure(file: Entity) -> str:
    alt = escape(file["description"] or "")
    source, small = _path(file["url"] or ""), _path(file["preview_url"])
    if file["type"] == "video":
        element = f'<video controls preload="metadata" src="{source}" poster="{small}" title="{alt}"></video>'
    else:
        element = f'<a href="{source}"><img src="{source}" alt="{alt}" loading="lazy"></a>'
    caption = f"<figcaption><b>ALT</b> {alt}</figcaption>" if alt else ""
    return f"<figure>{element}{caption}</figure>"


def _footer(entity: Entity) -> str:
    marks = [f"<span>via {escape(entity['application']['name'])}</span>"]
    if entity["replies_count"]:
        number = entity["replies_count"]
        marks.append(f"<span>{number} {'reply' if number == 1 else 'replies'}</span>")
    seen_by = _SEEN_BY.get(entity["visibility"])
    if seen_by:
        marks.append(f'<span class="badge">{seen_by}</span>')
    return "".join(marks)


def _person_link(account: Account) -> str:
    name = escape(account.name)
    return (
        f'<a href="/@{name}"><img src="/avatars/{name}.png" alt="">'
        f"<strong>{escape(account.display_name)}</strong><span>@{name}</span></a>"
    )


def _path(url: str) -> str:
    return escape(urlsplit(url).path)


def authorize(
    everybody: Sequence[Account],
    *,
    program: str,
    scopes: Sequence[str],
    fields: Mapping[str, str],
    problem: str | None,
) -> str:
    """Ask which account authorizes `program`. `fields` are sent back with the answer."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    wishes = "".join(
        f"<li>{escape(_MEANING.get(scope, scope))}</li>" for scope in dict.fromkeys(scopes)
    )
    choices = "".join(
        f'<label class="choice"><input type="radio" name="account" value="{escape(account.name)}"'
        f'{" checked" if number == 0 else ""}><img src="/avatars/{escape(account.name)}.png" alt="">'
        f"<span><strong>{escape(account.display_name)}</strong> @{escape(account.name)}</span></label>"
        for number, account in enumerate(everybody)
    )
    main = (
        f'<form class="card" method="post" action="/oauth/authorize">{hidden}'
        f"<h1><em>{escape(program)}</em> wants to post as …</h1>"
        f"{f'<p class=problem role=alert>{escape(problem)}</p>' if problem else ''}"
        f"<fieldset><legend>Account</legend>{choices}"
        f'<label class="choice"><input type="radio" name="account" value=""'
        f'{"" if everybody else " checked"} id="new-account">'
        '<span class="new"><strong>Create account</strong>'
        '<input type="text" name="new_account" placeholder="name" maxlength="30" autocomplete="off"'
        ' pattern="[A-Za-z0-9_]{1,30}" title="Letters, digits and underscores"'
        ' aria-label="Name of the new account"></span></label></fieldset>'
        f"<p>It will be able to:</p><ul>{wishes}</ul>"
        '<div class="buttons"><button name="decision" value="allow" class="primary">Authorize</button>'
        '<button name="decision" value="deny" formnovalidate>Deny</button></div>'
        "<p class=fine>No password: everything in the sandbox stays on this machine.</p></form>"
    )
    return _layout(f"Authorize {program}", main, script="choose.js")


def code(code: str, *, program: str) -> str:
    """Show a code to copy, for programs without a redirect address."""
    main = (
        f'<div class="card"><h1>Copy this code to <em>{escape(program)}</em></h1>'
        f'<p class="code"><code>{escape(code)}</code></p></div>'
    )
    return _layout("Authorization code", main, script=None)


def refused(sentence: str) -> str:
    """Show why a request was refused."""
    main = f'<div class="card"><h1>That did not work</h1><p>{escape(sentence)}</p></div>'
    return _layout("Refused", main, script=None)


def missing() -> str:
    """Show that nothing was found."""
    main = (
        '<div class="card"><h1>Nothing here</h1><p>The page is not there, or what it showed was'
        ' deleted.</p><p><a href="/">Back to the sandbox</a></p></div>'
    )
    return _layout("Nothing here", main, script=None)


def _layout(title: str, main: str, *, script: str | None = "live.js") -> str:
    program = f'<script src="/assets/{script}" defer></script>' if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · Sandbox</title>"
        '<link rel="icon" href="/avatars/sandbox.png">'
        f'<link rel="stylesheet" href="/assets/sandbox.css">{program}</head><body>'
        '<nav><a class="brand" href="/"><img src="/avatars/sandbox.png" alt="">Sandbox</a></nav>'
        f"<main>{main}</main></body></html>"
    )

"""The style and frame of the HTML pages that functions serve until the console replaces them.

They load no other files. The footer links to the start page and the API reference.
"""

from html import escape

STYLE = """
:root{color-scheme:light dark;--back:#f4f4f0;--card:#fff;--text:#222;--quiet:#5c5c58;--line:#999;--accent:#235;--on-accent:#fff}
@media (prefers-color-scheme:dark){:root{--back:#171816;--card:#22241f;--text:#ececea;--quiet:#a9aaa4;--line:#6b6d66;--accent:#9dc3e6;--on-accent:#10202e}}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{box-sizing:border-box;max-width:32rem;margin:4rem auto 1rem;padding:2rem;background:var(--card);border-radius:8px}
footer{max-width:32rem;margin:0 auto 2rem;padding:0 2rem;color:var(--quiet);font-size:.875rem}
@media (max-width:32rem){main{margin:0;border-radius:0;padding:1.25rem}footer{padding:1rem 1.25rem}}
h1{margin:0 0 1rem;font-size:1.25rem;line-height:1.25;overflow-wrap:anywhere}
a{color:inherit}
code{font-size:.9em;overflow-wrap:anywhere}
small{display:block;color:var(--quiet)}
label,input,select,button{display:block;box-sizing:border-box;width:100%;font:inherit}
input,select{margin:.25rem 0 1rem;padding:.5rem;border:1px solid var(--line);border-radius:6px;background:var(--card);color:inherit}
input[type=radio],input[type=checkbox]{display:inline;width:auto;margin:0 .5rem 0 0}
button{padding:.6rem;border:0;border-radius:6px;background:var(--accent);color:var(--on-accent);cursor:pointer}
button.second{margin-top:.5rem;background:transparent;border:1px solid var(--line);color:inherit}
"""


def html_page(title: str, body: str, *, script: str = "") -> str:
    """Return a whole HTML page. `body` is our own HTML, in which outside values must already be escaped."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<title>{escape(title)} - Roost</title>"
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>\n'
        f"<body><main><h1>{escape(title)}</h1>\n{body}\n</main>"
        '<footer><a href="/">Start page</a> · <a href="/docs">API reference</a></footer>'
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )

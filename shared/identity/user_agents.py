"""Names the browser and the system of a user agent, so that people recognize their own sessions."""

import re

UNKNOWN = "Unknown device"
_MAX_CHARACTERS = 40
# The first that matches: most browsers also name the ones they descend from.
_BROWSERS = (
    (re.compile(r"\bEdg(e|A|iOS)?/"), "Edge"),
    (re.compile(r"\b(OPR|Opera|OPiOS)/"), "Opera"),
    (re.compile(r"\bSamsungBrowser/"), "Samsung Internet"),
    (re.compile(r"\bVivaldi/"), "Vivaldi"),
    (re.compile(r"\b(Firefox|FxiOS)/"), "Firefox"),
    (re.compile(r"\b(Chrome|CriOS|Chromium)/"), "Chrome"),
    (re.compile(r"\bVersion/\S+ (Mobile/\S+ )?Safari/"), "Safari"),
)
_SYSTEMS = (
    (re.compile(r"\biPhone\b"), "iPhone"),
    (re.compile(r"\biPad\b"), "iPad"),
    (re.compile(r"\bAndroid\b"), "Android"),
    (re.compile(r"\bCrOS\b"), "ChromeOS"),
    (re.compile(r"\bWindows\b"), "Windows"),
    (re.compile(r"\bMac(intosh| OS X)\b"), "macOS"),
    (re.compile(r"\bLinux\b"), "Linux"),
)
# A program names itself first: `curl/8.5.0`.
_PROGRAM = re.compile(r"[A-Za-z][\w.-]*(?=/)")


def device_name(user_agent: str | None) -> str:
    """Return a short name such as "Firefox on Windows". A user agent can claim anything, so it is only for display."""
    text = user_agent or ""
    browser = _first(_BROWSERS, text)
    system = _first(_SYSTEMS, text)
    if browser is None:
        program = _PROGRAM.match(text)
        if program and program[0] != "Mozilla":
            browser = program[0][:_MAX_CHARACTERS]
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or UNKNOWN


def _first(known: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str | None:
    return next((name for pattern, name in known if pattern.search(text)), None)

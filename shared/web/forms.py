"""Reads the name of a form's file, which browsers and programs send in three ways.

`filename="a%22b.png"`: browsers escape only quotation marks and line breaks like this (html.spec.whatwg.org,
"multipart/form-data encoding algorithm"). `filename*=UTF-8''na%C3%AFve.png` (RFC 5987, RFC 6266 section 4.3) takes precedence;
RFC 7578 section 4.2 forbids it in forms, but HTTP libraries use it. Our form parser reads a part that has only the latter as
a text. Read 2026-11-30.
"""

import re
import urllib.parse
from contextlib import aclosing

from fastapi import HTTPException
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*+"|[^;]*+)')
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'((?:[^%]|%[0-9a-f]{2})*+)", re.IGNORECASE)
_ESCAPED = re.compile("%22|%0d|%0a", re.IGNORECASE)


class FormRequest(Request):
    """A request whose form can name its files in any of these ways."""

    async def _get_form(
        self,
        *,
        max_files: float = 1000,
        max_fields: float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> FormData:
        is_form = self.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if self._form is None and is_form == "multipart/form-data":
            try:
                async with aclosing(self.stream()) as stream:
                    self._form = await _Parser(
                        self.headers,
                        stream,
                        max_files=max_files,
                        max_fields=max_fields,
                        max_part_size=max_part_size,
                    ).parse()
            except MultiPartException as error:
                raise HTTPException(status_code=400, detail=error.message) from error
        return await super()._get_form(
            max_files=max_files, max_fields=max_fields, max_part_size=max_part_size
        )


class _Parser(MultiPartParser):
    def on_headers_finished(self) -> None:
        """Rewrite a part's file name in the form that the parser reads, before it decides whether the part is a file."""
        part = self._current_part
        if part.content_disposition is not None:
            disposition = part.content_disposition.decode("utf-8", "replace")
            if (name := file_name_in(disposition)) is not None:
                others = "".join(f"; {key}={value}" for key, value in _parameters(disposition))
                quoted = name.replace("\\", "/").replace('"', '\\"')
                written = f'{disposition.partition(";")[0]}{others}; filename="{quoted}"'
                part.content_disposition = written.encode()
        super().on_headers_finished()


def file_name_in(disposition: str) -> str | None:
    """Read a file's name from a part's `Content-Disposition`; None if it has none, so the part is a text."""
    plain = None
    for key, value in _PARAMETER.findall(disposition):
        if key.casefold() == "filename*" and (extended := _extended(value.strip().strip('"'))):
            return extended
        if key.casefold() == "filename":
            unquoted = value[1:-1].replace('\\"', '"') if value.startswith('"') else value.strip()
            plain = _ESCAPED.sub(lambda found: chr(int(found[0][1:], 16)), unquoted)
    return plain


def _extended(value: str) -> str | None:
    """Decode an extended value; None if it is invalid or not in its named charset."""
    found = _EXTENDED.fullmatch(value)
    if found is None:
        return None
    try:
        return urllib.parse.unquote(found[2], encoding=found[1], errors="strict")
    except UnicodeDecodeError:
        return None


def _parameters(disposition: str) -> list[tuple[str, str]]:
    """List the parameters other than the file name."""
    return [
        (key, value)
        for key, value in _PARAMETER.findall(disposition)
        if key.casefold() not in {"filename", "filename*"}
    ]

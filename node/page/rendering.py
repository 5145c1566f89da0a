"""Templates, and the page that says why there is no answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from node.page import text
from node.page.assets import Assets

CSP_PLAIN = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS_PLAIN = {
    "Content-Security-Policy": CSP_PLAIN,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
}


def environment() -> Environment:
    """The templates of the pages."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Notices:
    """Pages with a title and a sentence. ``texts`` has, by language, those that the pages' labels don't have."""

    def __init__(self, assets: Assets, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._assets = assets
        self._texts = texts
        self._notice = environment().get_template("notice.html")

    def answer(
        self, language: str, status: int, title: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One such page; title and message are names of texts."""
        body = self._notice.render(
            title=title,
            message=message,
            language=language,
            say=partial(self._say, language),
            icon=self._assets.address("icon.svg"),
            style=self._assets.address("page.css"),
        )
        given = HEADERS_PLAIN | {"Content-Language": language} | dict(headers or {})
        return Response(body, status_code=status, headers=given, media_type="text/html")

    def _say(self, language: str, label: str) -> str:
        return self._texts[language].get(label) or text.say(language, label)

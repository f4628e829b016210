"""Pages to HTML, with autoescape and no way around it but HTML made here; and the few static files."""

import hashlib
from datetime import datetime
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tenfold.console.services import ConsoleServices
from tenfold.console.views import AnswerView, Frame, Page, cost, duration, size, sources
from tenfold.console.visitors import Visitor

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """The files of `static`, held in memory; their addresses change with their content."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for entry in (resources.files("tenfold.console") / "static").iterdir():
            suffix = entry.name[entry.name.rfind(".") :]
            if suffix in _MEDIA_TYPES:
                content = entry.read_bytes()
                self._files[entry.name] = (content, _MEDIA_TYPES[suffix], hashlib.sha256(content).hexdigest()[:12])

    def url(self, name: str) -> str:
        return f"/static/{name}?v={self._files[name][2]}"

    def response(self, name: str, version: str | None) -> Response:
        if name not in self._files:
            raise HTTPException(404)
        content, media_type, digest = self._files[name]
        caching = _FOREVER if version == digest else "public, max-age=300"
        return Response(content, media_type=media_type, headers={"cache-control": caching})


class Renderer:
    def __init__(self, services: ConsoleServices, assets: Assets) -> None:
        self._services = services
        self._templates = Environment(
            loader=PackageLoader("tenfold.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "cost": cost,
            "duration": duration,
            "minute": _minute,
            "size": size,
            "made_here": Markup,
        }
        self._templates.globals |= {"asset": assets.url, "sources": sources}

    def page(self, request: Request, page: Page, visitor: Visitor | None, status: int = 200) -> HTMLResponse:
        session = visitor.session if visitor else None
        frame = Frame(
            path=request.url.path,
            form_token=visitor.form_token if visitor else "",
            request_id=request.state.request_id,
            version=self._services.version,
            login=session.login if session else None,
            tenant_name=session.tenant_name if session else None,
            sign_up_open=self._services.sign_up_open,
            has_knowledge=self._services.knowledge is not None,
            has_support=self._services.support is not None,
            has_cache=self._services.cache is not None,
            has_budgets=self._services.money is not None,
            has_status=self._services.health is not None,
        )
        html = self._templates.get_template(page.template).render(page=page, frame=frame)
        return HTMLResponse(html, status_code=status)

    def answer(self, answer: AnswerView) -> str:
        """The same piece of HTML that the page holds, for a page that is already open."""
        return self._templates.get_template("_answer.html").render(answer=answer)


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")

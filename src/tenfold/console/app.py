"""The console as one ASGI application. It needs no lifespan: whoever made the services has started them."""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.accounts import account_routes
from tenfold.console.api import api_routes
from tenfold.console.api_parts import Problem
from tenfold.console.asking import asking_routes
from tenfold.console.budgets import budget_routes
from tenfold.console.budgets_api import budget_api_routes
from tenfold.console.cache_api import cache_api_routes
from tenfold.console.caches import cache_routes
from tenfold.console.docs import docs_routes
from tenfold.console.flags_api import flag_api_routes
from tenfold.console.health_api import health_api_routes
from tenfold.console.jobs_api import dead_letter_api_routes, job_api_routes
from tenfold.console.keys import key_routes
from tenfold.console.knowledge import knowledge_routes
from tenfold.console.limits_api import limit_api_routes
from tenfold.console.ofrep import ofrep_routes
from tenfold.console.precompute_api import precompute_api_routes
from tenfold.console.problems import (
    API_PREFIXES,
    CRASHED,
    error_headers,
    page_title,
    problem,
    problem_response,
    validation_detail,
)
from tenfold.console.reports_api import ReportService, reports_routes
from tenfold.console.schedules_api import schedule_api_routes
from tenfold.console.security import MAX_BODY_BYTES, SafeReplies
from tenfold.console.services import ConsoleServices
from tenfold.console.site import Site, new_site
from tenfold.console.slo_api import slo_api_routes
from tenfold.console.slowing import Slow
from tenfold.console.status import status_routes
from tenfold.console.support import support_routes
from tenfold.console.support_api import support_api_routes
from tenfold.console.tickets_api import ticket_api_routes
from tenfold.console.usage import usage_routes
from tenfold.console.views import ErrorPage
from tenfold.console.webhooks_api import webhook_api_routes
from tenfold.console.widget import widget_routes
from tenfold.core.clock import SystemClock
from tenfold.core.errors import TenfoldError

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


def create_console(services: ConsoleServices, reports: ReportService | None = None) -> FastAPI:
    site = new_site(services)
    app = FastAPI(
        title="Tenfold",
        version=services.version,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (account_routes, asking_routes, key_routes, usage_routes, docs_routes):
        app.include_router(routes(site))
    app.include_router(api_routes(services))
    larger: dict[str, int] = {}
    if services.knowledge is not None:
        app.include_router(knowledge_routes(site, services.knowledge))
        larger["/knowledge"] = services.knowledge.max_upload_bytes + MAX_BODY_BYTES
    if services.support is not None:
        app.include_router(support_routes(site, services.support))
        slow = Slow(SystemClock())
        app.include_router(widget_routes(site, services.support, slow))
        app.include_router(support_api_routes(services, services.support, slow))
    if services.precompute is not None:
        app.include_router(precompute_api_routes(services, services.precompute))
    if services.money is not None:
        app.include_router(budget_routes(site, services.money))
        app.include_router(budget_api_routes(services, services.money))
        app.include_router(limit_api_routes(services, services.money.limits))
    if services.slo is not None:
        app.include_router(slo_api_routes(services, services.slo))
    if services.health is not None:
        app.include_router(status_routes(site, services.health))
        app.include_router(health_api_routes(services, services.health))
    if services.tickets is not None:
        app.include_router(ticket_api_routes(services, services.tickets))
    if services.jobs is not None:
        app.include_router(job_api_routes(services, services.jobs))
        app.include_router(dead_letter_api_routes(services, services.jobs))
        app.include_router(schedule_api_routes(services, services.jobs.schedules))
    if services.cache is not None:
        app.include_router(cache_routes(site, services.cache))
        app.include_router(cache_api_routes(services, services.cache))
    if services.webhooks is not None:
        app.include_router(webhook_api_routes(services, services.webhooks))
    if services.flags is not None:
        app.include_router(flag_api_routes(services, services.flags.admin))
        app.include_router(ofrep_routes(services, services.flags.values))
    if reports is not None:
        app.include_router(reports_routes(services, reports))
    _add_error_handlers(app, site, larger)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Puts the schema that all routes refer to into their description."""
    described = app.openapi

    def with_problems() -> dict[str, Any]:
        told = described()
        told["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return told

    app.openapi = with_problems  # type: ignore[method-assign]


def _add_error_handlers(app: FastAPI, site: Site, larger: dict[str, int]) -> None:
    def shown(request: Request, status: int, code: str, message: str, headers: dict[str, str] | None) -> Response:
        if request.url.path.startswith(API_PREFIXES):
            return problem_response(request, status, code, message, headers=headers)
        page = ErrorPage(title=page_title(status), status=status, message=message)
        response = site.renderer.page(request, page, None, status)
        response.headers.update(headers or {})
        return response

    @app.exception_handler(TenfoldError)
    async def on_tenfold_error(request: Request, error: TenfoldError) -> Response:
        if request.url.path.startswith(API_PREFIXES):
            return problem(request, error)
        return shown(request, error.status, error.code, error.message, error_headers(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        detail, param = validation_detail(error)
        return problem_response(request, 400, "invalid_request", detail, param=param)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "invalid_request")
        message = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
        return shown(request, error.status_code, code, message, dict(error.headers or {}))

    def on_crash(request: Request) -> Response:
        return shown(request, 500, "internal_error", CRASHED, None)

    app.add_middleware(SafeReplies, on_crash=on_crash, larger=larger)

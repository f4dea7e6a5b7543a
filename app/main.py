"""The web application. Nothing happens when this module is imported."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from app import __version__
from app.api import (
    audit_events,
    certifications,
    connection_events,
    docs,
    employees,
    endorsements,
    health,
    idempotency,
    import_files,
    import_lock,
    job_classes,
    metrics,
    problems,
    run_events,
    runs,
    service_tokens,
    sftp_connection,
    tasks,
)
from app.api.browser_access import browser_access
from app.api.limits import BodyLimit, RequestLimits
from app.api.openapi import add_openapi
from app.api.rate_limit import RateLimit
from app.api.request_log import RequestLog, is_probe
from app.api.security_headers import STATIC, SecurityHeaders
from app.background import in_background
from app.factory import Factory
from app.settings import Settings
from app.tracing import Tracing
from app.transport import warn_of_clear_connections

STATEMENT_LIMIT = 25
"""Seconds for one statement of a request: a little less than the request has (`api/limits.py`)."""

ROUTERS = (
    tasks.router,
    runs.router,
    run_events.router,
    certifications.router,
    endorsements.router,
    import_lock.router,
    employees.router,
    job_classes.router,
    sftp_connection.router,
    connection_events.router,
    import_files.router,
    audit_events.router,
    service_tokens.router,
    health.router,
    metrics.router,
    problems.router,
    docs.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its parts are built when it starts and closed when it ends.

    Raises ConfigurationError when it cannot trace as the environment asks.
    """
    tracing = Tracing()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.factory = Factory(settings, tracing, STATEMENT_LIMIT)
        app.state.factory.authentication.warn()
        warn_of_clear_connections(settings)
        async with in_background(app.state.factory.token_reads.keep_flushing()):
            yield
        await app.state.factory.token_reads.close()
        await app.state.factory.close()

    app = FastAPIOffline(
        title="certsync",
        version=__version__,
        lifespan=lifespan,
        middleware=[
            Middleware(SecurityHeaders, production=settings.environment == "production"),
            *browser_access(settings),
            Middleware(RequestLog),
            Middleware(RequestLimits, most=settings.max_requests),
            Middleware(RateLimit),
            Middleware(BodyLimit),
        ],
        redirect_slashes=False,
        docs_url=None,  # `api/docs.py` has it
        redoc_url=None,
        static_url=STATIC,
        telemetry={
            "tracing": tracing.provider is not None,
            "tracer_provider": tracing.provider,
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "exclude": is_probe,
        },
    )
    problems.add_problem_handlers(app)
    idempotency.add_repeated_answers(app)
    add_openapi(app)
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # `include_router` would look for each route twice
    return app

"""The route that a monitoring system scrapes."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse

from app.api.dependencies import FactoryDep, Operator
from app.api.problems import problems
from app.api.router import operation_id
from app.errors import ForbiddenError, RateLimitedError, UnauthorizedError
from app.metrics import exposition

Accept = Annotated[str, Header(include_in_schema=False)]

router = APIRouter(tags=["Operations"], generate_unique_id_function=operation_id)


@router.get(
    "/metrics",
    summary="Figures for a monitoring system",
    response_class=PlainTextResponse,
    responses=problems(UnauthorizedError, ForbiddenError, RateLimitedError),
)
async def get_metrics(_caller: Operator, factory: FactoryDep, accept: Accept = "") -> Response:
    """Return metrics in Prometheus' text format, or in OpenMetrics' when asked; needs the role `ops`.

    What is true of the whole deployment comes from the database and is the same from every process; what is
    named `certsync_http_…`, `…_refused_total` or `process_…` is of the API process that answers.
    """
    deployment = await factory.metrics.collect()
    content, media_type = exposition((factory.request_metrics.collector(), deployment), accept)
    return Response(content, media_type=media_type)

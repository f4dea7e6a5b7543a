"""A run's progress as server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.api.dependencies import FactoryDep, RunsReader
from app.api.problems import problems
from app.api.router import api_router
from app.constants import FINAL_STATUSES, RunPhase
from app.errors import NotFoundError, ServiceUnavailableError
from app.services.run_events import Place, RunEvent

router = api_router("", tag="Runs")

MEDIA_TYPE = "text/event-stream"


def described(name: str, **data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event and of its data, as the framework has it (OpenAPI 3.2, `itemSchema`)."""
    content = {"type": "object", "required": list(data), "properties": data, "additionalProperties": False}
    fields = {
        "event": {"const": name},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
    }
    return {"type": "object", "required": list(fields), "properties": fields}


PHASE = {"enum": [None, *(phase.value for phase in RunPhase)]}
FAILURE = {
    "type": ["object", "null"],
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
EVENT = {
    "oneOf": [
        described("phase", phase=PHASE, attempt={"type": "integer", "minimum": 0}),
        described("progress", phase=PHASE, progress={"type": "integer", "minimum": 0, "maximum": 100}),
        described("end", status={"enum": sorted(FINAL_STATUSES)}, failure=FAILURE),
    ]
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The stream.", "content": {MEDIA_TYPE: {"itemSchema": EVENT}}},
    204: {"description": "`Last-Event-ID` is the end of the run: nothing will follow."},
    **problems(NotFoundError, ServiceUnavailableError),
}
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The `id` of the last event that was received; browsers send it by themselves.",
        examples=["1.2.45"],
    ),
]


@router.get(
    "/runs/{run_id}/events",
    summary="Follow a run",
    response_class=StreamingResponse,  # the framework's own would answer 200 before it knows of an error
    responses=RESPONSES,
)
async def follow_run(
    caller: RunsReader, factory: FactoryDep, run_id: UUID, last_event_id: LastEventId = None
) -> Response:
    """Send what happens to a run as server-sent events until it has ended.

    * `phase` `{"phase": …, "attempt": …}`: it entered a phase; null while it waits.
    * `progress` `{"phase": …, "progress": …}`: percent of the whole run.
    * `end` `{"status": …, "failure": …}`: the last one; the stream ends.

    After an interruption the stream goes on behind `Last-Event-ID`: every phase that was passed is sent, of
    the progress the present one. The server ends a stream after an hour; connect again as after any
    interruption. A comment is sent every 15 seconds of silence.
    """
    run = await factory.runs.get(caller.district, run_id)
    factory.run_events.check_room()
    seen = Place.read(last_event_id)
    if seen and seen.ended and run.status in FINAL_STATUSES:
        return Response(status_code=204)
    events = factory.run_events.follow(run, seen)
    return StreamingResponse(as_text(events), media_type=MEDIA_TYPE, headers=HEADERS)


async def as_text(events: AsyncIterator[RunEvent | None]) -> AsyncIterator[bytes]:
    """Yield events as they are written on the wire; None as a comment, which clients ignore."""
    async for event in events:
        if event is None:
            yield KEEPALIVE_COMMENT
        else:
            yield format_sse_event(
                event=event.name, id=str(event.place), data_str=json.dumps(event.data, ensure_ascii=False)
            )

"""Routes of the connection to the state's server."""

from fastapi import Response

from app.api.dependencies import ConnectionReader, ConnectionWriter, FactoryDep, IfMatch
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.sftp_connection import (
    AcceptRequest,
    ConnectionOut,
    ConnectionPut,
    ScanRequest,
    ScanResult,
    TestResult,
)
from app.api.versions import tagged
from app.errors import ConflictError, NotFoundError, PreconditionFailedError, SecondPersonNeededError
from app.services.sftp_connection import Saving

router = api_router("sftp-connection", tag="Connection")
STATUS = {Saving.FIRST: 201, Saving.REPLACED: 200, Saving.PROPOSED: 202}


@router.get("", summary="Read the connection", responses=problems(NotFoundError))
async def get_connection(caller: ConnectionReader, factory: FactoryDep, response: Response) -> ConnectionOut:
    """How the state's server is reached, without the secrets."""
    return tagged(response, ConnectionOut.model_validate(await factory.connections.get(caller.district)))


@router.put(
    "",
    summary="Save the connection",
    responses={
        **problems(ConflictError, PreconditionFailedError),
        201: {"model": ConnectionOut, "description": "Saved for the first time"},
        202: {"model": ConnectionOut, "description": "Not saved: proposed to a second administrator"},
    },
)
async def put_connection(
    caller: ConnectionWriter,
    factory: FactoryDep,
    body: ConnectionPut,
    response: Response,
    if_match: IfMatch = None,
) -> ConnectionOut:
    """Store how the state's server is reached, encrypted.

    `password` or `private_key` is needed; with both, the key logs in and the password is its passphrase.
    A secret that is left out is kept only if host, port, username and fingerprint stay the same, and no
    other one is announced. Where a second person has to confirm another fingerprint, the answer is 202: the
    connection is as before, and `proposal` shows what waits. Saving ends any stop or back-off.
    """
    fields = {name: getattr(body, name) for name in ConnectionPut.model_fields}
    for secret in {"password", "private_key"} - body.model_fields_set:
        del fields[secret]
    connection, saving = await factory.connections.put(caller.district, caller.user, fields, if_match)
    response.status_code = STATUS[saving]
    return tagged(response, ConnectionOut.model_validate(connection))


@router.post(
    "/host-key/accept",
    summary="Accept a host key",
    responses={**problems(NotFoundError, ConflictError, SecondPersonNeededError), **KEYED},
)
async def accept_host_key(
    caller: ConnectionWriter,
    factory: FactoryDep,
    body: AcceptRequest,
    response: Response,
    idempotency: IdempotencyDep,
) -> ConnectionOut:
    """Make a fingerprint the pinned one: it was offered when the connection was stopped, or announced.

    Compare it with what the state says, by another way, before. Stored secrets stay, and runs connect again.
    Where a second person is needed the first call only proposes it, which `proposal` shows, and another
    administrator confirms it by the same call; so a proposed save is confirmed as well.
    """

    def answer(connection: object) -> ConnectionOut:
        return tagged(response, ConnectionOut.model_validate(connection))

    once = idempotency.once(answer)
    service = factory.connections
    return answer(
        await service.accept(caller.district, caller.user, body.fingerprint, body.proposal_id, once)
    )


@router.post(
    "/host-key/reject",
    summary="Reject a proposed change",
    responses={**problems(NotFoundError), **KEYED},
)
async def reject_host_key(
    caller: ConnectionWriter, factory: FactoryDep, response: Response, idempotency: IdempotencyDep
) -> ConnectionOut:
    """Take back what waits for a second administrator. A connection that is stopped stays so."""

    def answer(connection: object) -> ConnectionOut:
        return tagged(response, ConnectionOut.model_validate(connection))

    return answer(await factory.connections.reject(caller.district, caller.user, idempotency.once(answer)))


@router.post("/test", summary="Try the connection out", responses={**problems(ConflictError), **KEYED})
async def test_connection(
    caller: ConnectionWriter, factory: FactoryDep, idempotency: IdempotencyDep
) -> TestResult:
    """Connect as an import would and list the licence files. The attempt becomes a connection event.

    The answer is 200 also when the attempt fails; `failure` says why.
    """
    once = idempotency.once(TestResult.model_validate)
    return TestResult.model_validate(await factory.trials.test(caller.district, caller.user, once))


@router.post("/scan", summary="List a server's fingerprints", responses=KEYED)
async def scan_connection(
    caller: ConnectionWriter, factory: FactoryDep, body: ScanRequest, idempotency: IdempotencyDep
) -> ScanResult:
    """Ask a server for its host keys. Compare them with what the state announced before you save one.

    No credential is sent. Each scan becomes a connection event with who asked for it.
    """
    once = idempotency.once(ScanResult.model_validate)
    found = await factory.trials.scan(caller.district, caller.user, body.host, body.port, once)
    return ScanResult.model_validate(found)

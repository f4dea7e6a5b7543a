"""Routes of the connection to the state's server."""

from fastapi import Response

from app.api.dependencies import Admin, FactoryDep, IfMatch, Viewer
from app.api.idempotency import KEYED, IdempotencyDep
from app.api.problems import problems
from app.api.router import api_router
from app.api.schemas.sftp_connection import (
    ConnectionOut,
    ConnectionPut,
    ScanRequest,
    ScanResult,
    TestResult,
)
from app.api.versions import tagged
from app.errors import ConflictError, NotFoundError, PreconditionFailedError

router = api_router("sftp-connection", tag="Connection")


@router.get("", summary="Read the connection", responses=problems(NotFoundError))
async def get_connection(caller: Viewer, factory: FactoryDep, response: Response) -> ConnectionOut:
    """How the state's server is reached, without the secrets."""
    return tagged(response, ConnectionOut.model_validate(await factory.connections.get(caller.district)))


@router.put(
    "",
    summary="Save the connection",
    responses={
        **problems(ConflictError, PreconditionFailedError),
        201: {"model": ConnectionOut, "description": "Saved for the first time"},
    },
)
async def put_connection(
    caller: Admin,
    factory: FactoryDep,
    body: ConnectionPut,
    response: Response,
    if_match: IfMatch = None,
) -> ConnectionOut:
    """Store how the state's server is reached, encrypted.

    `password` or `private_key` is needed; with both, the key logs in and the password is its passphrase.
    A secret that is left out is kept only if host, port, username and fingerprint stay the same.
    """
    fields = {name: getattr(body, name) for name in ConnectionPut.model_fields}
    for secret in {"password", "private_key"} - body.model_fields_set:
        del fields[secret]
    connection, first = await factory.connections.put(caller.district, caller.user, fields, if_match)
    response.status_code = 201 if first else 200
    return tagged(response, ConnectionOut.model_validate(connection))


@router.post("/test", summary="Try the connection out", responses={**problems(ConflictError), **KEYED})
async def test_connection(caller: Admin, factory: FactoryDep, idempotency: IdempotencyDep) -> TestResult:
    """Connect as an import would and list the licence files. The attempt becomes a connection event.

    The answer is 200 also when the attempt fails; `failure` says why.
    """
    once = idempotency.once(TestResult.model_validate)
    return TestResult.model_validate(await factory.connections.test(caller.district, once))


@router.post("/scan", summary="List a server's fingerprints", responses=KEYED)
async def scan_connection(
    caller: Admin, factory: FactoryDep, body: ScanRequest, idempotency: IdempotencyDep
) -> ScanResult:
    """Ask a server for its host keys. Compare them with what the state announced before you save one."""
    once = idempotency.once(ScanResult.model_validate)
    found = await factory.connections.scan(caller.district, body.host, body.port, once)
    return ScanResult.model_validate(found)

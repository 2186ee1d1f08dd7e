"""The error tree every service raises, and its way to and from a gRPC status.

A use case raises one of these; the server turns it into a google.rpc.Status with an ErrorInfo
(domain "trine", a reason, metadata), and a client turns such a status back into the same error.
``message`` is one line for a person, in Docker's wording where Docker has one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "trine"
_DETAILS_KEY = "grpc-status-details-bin"


class EngineError(Exception):
    """An error with a gRPC code, a reason in UPPER_SNAKE_CASE and a line for the user."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, reason: str = "", metadata: dict[str, str] | None = None) -> None:
        """Keep the message; ``reason`` defaults to the class's own."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})


class InvalidArgumentError(EngineError):
    """The request itself is wrong (HTTP 400)."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"


class NotFoundError(EngineError):
    """What was named is not there (404)."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExistsError(EngineError):
    """The name is taken (409)."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class ConflictError(EngineError):
    """The state forbids it now: in use, not running (409)."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "CONFLICT"


class PermissionDeniedError(EngineError):
    """The caller may not (403)."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class UnauthenticatedError(EngineError):
    """Credentials are missing or wrong (401)."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class UnavailableError(EngineError):
    """Something needed does not answer; trying again may help (503)."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class ResourceExhaustedError(EngineError):
    """No space, no address, no port left."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class DataLossError(EngineError):
    """What was received or stored is not what it should be: digest, size."""

    code = grpc.StatusCode.DATA_LOSS
    default_reason = "DATA_LOSS"


class UnsupportedError(EngineError):
    """Known, but not to be had here (501)."""

    code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "UNSUPPORTED"


class DeadlineExceededError(EngineError):
    """It took longer than allowed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class CancelledError(EngineError):
    """The caller went away."""

    code = grpc.StatusCode.CANCELLED
    default_reason = "CANCELLED"


class InternalError(EngineError):
    """A fault of ours or of the host (500)."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


_BY_CODE: dict[grpc.StatusCode, type[EngineError]] = {
    cls.code: cls
    for cls in (
        InvalidArgumentError,
        NotFoundError,
        AlreadyExistsError,
        ConflictError,
        PermissionDeniedError,
        UnauthenticatedError,
        UnavailableError,
        ResourceExhaustedError,
        DataLossError,
        UnsupportedError,
        DeadlineExceededError,
        CancelledError,
        InternalError,
    )
}
_CODE_NUMBERS: dict[grpc.StatusCode, int] = {code: code_pb2.Code.Value(code.name) for code in grpc.StatusCode}


def to_status_details(error: EngineError) -> bytes:
    """Return the serialised google.rpc.Status of an error, for the trailer grpc-status-details-bin."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=_CODE_NUMBERS[error.code], message=error.message, details=[packed])
    return bytes(status.SerializeToString())


def trailers(error: EngineError) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that carries an error's details."""
    return ((_DETAILS_KEY, to_status_details(error)),)


def from_rpc_error(error: grpc.RpcError) -> EngineError:
    """Return the EngineError a failed call stands for; reason and metadata survive when the peer sent them.

    Works for grpc.aio.AioRpcError and for the synchronous client's errors, which both have code(),
    details() and trailing_metadata().
    """
    call: Any = error
    reason, metadata = "", {}
    for key, value in call.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                reason, metadata = info.reason, dict(info.metadata)
    kind = _BY_CODE.get(call.code(), InternalError)
    return kind(call.details() or "", reason=reason, metadata=metadata)

"""Ask a gRPC service what it can do, and call it, by reflection alone: no stubs, no protos at hand.

    python -m tools.call ADDRESS                          services and their methods
    python -m tools.call ADDRESS METHOD                   the method's request, field by field
    python -m tools.call ADDRESS METHOD '{"name": …}'     call it; answers are printed as JSON, one a line

ADDRESS is unix:///path or host:port; METHOD may leave out the service when only one has it. With ``-`` for
JSON the requests come from standard input, one a line. A service that is still starting is waited for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

WAIT_SECONDS = 10.0


class CallError(Exception):
    """What was asked for is not there; the message says what is."""


class Server:
    """A server that has reflection."""

    def __init__(self, address: str) -> None:
        """Connect; raises CallError when nobody answers in WAIT_SECONDS."""
        target = address.replace("unix://", "unix:", 1) if address.startswith("unix://") else address
        self.channel = grpc.insecure_channel(target)
        try:
            grpc.channel_ready_future(self.channel).result(WAIT_SECONDS)
        except grpc.FutureTimeoutError:
            raise CallError(f"nobody answers at {address}") from None
        self._database = ProtoReflectionDescriptorDatabase(self.channel)
        self._pool = DescriptorPool(self._database)

    def methods(self) -> list[MethodDescriptor]:
        """Return all methods of all services, in the order of the protos."""
        found: list[MethodDescriptor] = []
        for name in self._database.get_services():
            found += self._pool.FindServiceByName(name).methods
        return found

    def method(self, name: str) -> MethodDescriptor:
        """Return the method of that name, with or without its service. Raises CallError."""
        wanted = name.replace("/", ".")
        found = [m for m in self.methods() if m.full_name == wanted or m.full_name.endswith(f".{wanted}")]
        if len(found) != 1:
            raise CallError(
                f"{'no method' if not found else 'several methods'} {name}; list them: tools.call ADDRESS"
            )
        return found[0]

    def call(self, method: MethodDescriptor, requests: Iterator[Any]) -> Iterator[Any]:
        """Call a method with requests as parsed JSON; yield its answers. Raises grpc.RpcError, CallError."""
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        try:
            messages = iter([json_format.ParseDict(request, request_type()) for request in requests])
        except json_format.ParseError as error:
            raise CallError(str(error)) from None
        invoke = self.channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        for response in invoke(messages):
            yield json_format.MessageToDict(response, preserving_proto_field_name=True)


def _signature(method: MethodDescriptor) -> str:
    taken, given = (
        f"{'stream ' if stream else ''}{kind.name}"
        for stream, kind in (
            (method.client_streaming, method.input_type),
            (method.server_streaming, method.output_type),
        )
    )
    return f"{method.full_name}({taken}) -> {given}"


def _kind(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        name = field.message_type.name
    elif field.enum_type is not None:
        name = " | ".join(value.name for value in field.enum_type.values)
    else:
        name = {1: "double", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}.get(
            field.type, f"type {field.type}"
        )
    return f"{name}, repeated" if field.is_repeated else name


def _lines(words: list[str]) -> Iterator[str]:
    server = Server(words[0])
    if len(words) == 1:
        yield from map(_signature, server.methods())
        return
    method = server.method(words[1])
    if len(words) == 2:
        yield _signature(method)
        yield from (f"  {field.name}: {_kind(field)}" for field in method.input_type.fields)
        return
    texts = sys.stdin if words[2] == "-" else [words[2]]
    for answer in server.call(method, (json.loads(text) for text in texts)):
        yield json.dumps(answer, ensure_ascii=False)


def main() -> int:
    """Run the command; return its exit status."""
    words = sys.argv[1:]
    if not 1 <= len(words) <= 3 or words[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        for line in _lines(words):
            print(line, flush=True)
    except grpc.RpcError as error:
        call: Any = error
        print(f"call: {call.code().name}: {call.details()}", file=sys.stderr)
        return 1
    except (CallError, ValueError) as error:
        print(f"call: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

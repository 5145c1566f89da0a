"""OpenAPI 3.1 of all routes, from the descriptors and the comments of the protocol; what /openapi.json says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from node import __version__
from node.api import protojson, sse, transcode
from node.api.dispatch import Rpc
from node.api.outgoing import CURSOR
from node.api.signed import SALT, SIGNATURE, SIGNED, VERSION, VERSION_DIGITS_MAX
from node.domain import limits
from node.wire.comments import COMMENTS

STATUS = "google.rpc.Status"
KEY_HEADER = "Idempotency-Key"

RESPONSES = {
    400: "INVALID_ARGUMENT or FAILED_PRECONDITION: a field is wrong, or what it names can't be done now.",
    401: "UNAUTHENTICATED: no token, one that no longer holds, or a wrong password.",
    403: "PERMISSION_DENIED: the caller may not do this.",
    404: "NOT_FOUND: something that the request names is not known here.",
    405: "UNIMPLEMENTED: the route has another method, which the header Allow names.",
    408: "DEADLINE_EXCEEDED: the body did not come in time.",
    409: "ALREADY_EXISTS: it is there already, or the idempotency key was used for another request.",
    410: "OUT_OF_RANGE: the changes behind the cursor are no more; begin without one, then read GetCirc.",
    413: "INVALID_ARGUMENT: the body is too large.",
    415: "INVALID_ARGUMENT: the body's type is not the one that is wanted.",
    429: "RESOURCE_EXHAUSTED: too much at once; try again after Retry-After seconds.",
    499: "CANCELLED: the client went away.",
    500: "INTERNAL: the node failed, its log says why.",
    501: "UNIMPLEMENTED: this node does not run that.",
    503: "UNAVAILABLE: try again after Retry-After seconds.",
    504: "DEADLINE_EXCEEDED: no answer in time; it may still be done.",
}
"""HTTP status → what it means."""

_F = FieldDescriptor
_NUMBERS = {
    _F.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    _F.TYPE_SINT32: ("int32", -(2**31), 2**31 - 1),
    _F.TYPE_SFIXED32: ("int32", -(2**31), 2**31 - 1),
    _F.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    _F.TYPE_FIXED32: ("uint32", 0, 2**32 - 1),
}
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_SCALARS: dict[int, dict[str, Any]] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BYTES: {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": _BASE64,
    },
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_FLOAT: {"type": ["number", "string"], "format": "float"},
    _F.TYPE_DOUBLE: {"type": ["number", "string"], "format": "double"},
}
_LONG: dict[str, Any] = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,20}$"}
_GOOGLE: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array"},
    protojson.VALUE: {},
}

_STATUS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A refusal, as gRPC has it.",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "integer", "description": "A google.rpc.Code."},
        "message": {"type": "string", "description": "For people: the field, the value, and what is wanted."},
        "details": {
            "type": "array",
            "description": "google.rpc.ErrorInfo (reason, domain, metadata), BadRequest (fieldViolations), RetryInfo, "
            "RequestInfo.",
            "items": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
        },
    },
}


def document(rpcs: Sequence[Rpc]) -> bytes:
    """The OpenAPI document as JSON."""
    return json.dumps(_Document(rpcs).whole(), ensure_ascii=False, separators=(",", ":")).encode()


class _Document:
    """The document, and the schemas that its operations came across."""

    def __init__(self, rpcs: Sequence[Rpc]) -> None:
        self._rpcs = rpcs
        self._schemas: dict[str, Any] = {STATUS: _STATUS_SCHEMA}

    def whole(self) -> dict[str, Any]:
        """All of it."""
        paths: dict[str, Any] = {}
        for rpc in self._rpcs:
            for number, route in enumerate(transcode.routes_of(rpc.method)):
                operation = self._operation(rpc, route, number)
                paths.setdefault(_path(route), {})[route.http_method.lower()] = operation
        services = {rpc.method.containing_service.full_name: rpc.method.containing_service for rpc in self._rpcs}
        return {
            "openapi": "3.1.0",
            "info": {"title": "VTrace", "version": __version__, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "security": [{"token": []}],
            "tags": [{"name": one.name, "description": self._comment(name)} for name, one in services.items()],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": {str(status): _response(status, text) for status, text in RESPONSES.items()},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "From Token."}},
            },
        }

    def _operation(self, rpc: Rpc, route: transcode.Route, number: int) -> dict[str, Any]:
        text = self._comment(rpc.method.full_name)
        answer = self._ref(rpc.method.output_type)
        ok = {"description": self._comment(rpc.method.output_type.full_name) or "OK", "content": _json(answer)}
        if rpc.method.server_streaming:
            ok["content"] = {sse.EVENT_STREAM: {"schema": _events(answer)}}
        left_out = {status for status, there in self._sometimes(rpc).items() if not there}
        kept = [status for status in RESPONSES if status not in left_out]
        made: dict[str, Any] = {
            "operationId": rpc.name + (str(number) if number else ""),
            "tags": [rpc.method.containing_service.name],
            "summary": text.partition(". ")[0].removesuffix("."),
            "description": text,
            "parameters": [*self._parameters(rpc, route)],
            "responses": {
                "200": ok,
                **{str(status): {"$ref": f"#/components/responses/{status}"} for status in kept},
            },
        }
        if rpc.access.open_to_anyone:
            made["security"] = []
        if rpc.method.client_streaming:
            made["requestBody"] = {"required": True, "content": self._streamed(rpc)}
        elif route.body is not None:
            body = self._ref(rpc.method.input_type) if route.body == transcode.ANY else self._field(route.body)
            made["requestBody"] = {"content": _json(body)}
        return made

    def _sometimes(self, rpc: Rpc) -> dict[int, bool]:
        return {403: not rpc.access.open_to_anyone, 410: CURSOR in rpc.method.input_type.fields_by_name}

    def _parameters(self, rpc: Rpc, route: transcode.Route) -> Iterable[dict[str, Any]]:
        for variable in route.variables:
            schema = self._field(variable.fields[-1])
            yield {"name": variable.name, "in": "path", "required": True, "schema": schema}
        if route.body is None:
            taken = {variable.fields[0] for variable in route.variables}
            for field in rpc.method.input_type.fields:
                if field not in taken and (not field.message_type or field.message_type.full_name in _IN_ADDRESS):
                    yield {"name": field.json_name, "in": "query", "schema": self._field(field)}
        if rpc.request_class.DESCRIPTOR.full_name == _UPLOAD:
            for name, text in _KNOWN_OF_FILES.items():
                yield {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        if rpc.method.server_streaming and CURSOR in rpc.method.input_type.fields_by_name:
            yield {"name": "Last-Event-ID", "in": "header", "description": _LAST_ID, "schema": {"type": "string"}}
        if rpc.makes_something:
            schema = {"type": "string", "pattern": f"^[!-~]{{1,{limits.IDEMPOTENCY_KEY_LENGTH_MAX}}}$"}
            yield {"name": KEY_HEADER, "in": "header", "description": _KEY, "schema": schema}
        if rpc.name in SIGNED:
            for name, (text, signed) in _OF_OWN_KEYS.items():
                yield {"name": name, "in": "header", "description": text, "schema": {"type": "string", **signed}}

    def _streamed(self, rpc: Rpc) -> dict[str, Any]:
        content = _json({"type": "array", "items": self._ref(rpc.method.input_type)})
        if rpc.request_class.DESCRIPTOR.full_name == _UPLOAD:
            file = {"type": "string", "contentMediaType": "application/octet-stream"}
            content = {
                "application/octet-stream": {"schema": file},
                "multipart/form-data": {
                    "schema": {"type": "object", "required": ["file"], "properties": {"file": file}}
                },
                **content,
            }
        return content

    def _ref(self, message: Any) -> dict[str, Any]:
        name = message.full_name
        if name not in self._schemas:
            schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
            self._schemas[name] = schema
            if text := self._comment(name):
                schema["description"] = text
            for field in message.fields:
                schema["properties"][field.json_name] = self._field(field)
        return {"$ref": f"#/components/schemas/{name}"}

    def _field(self, field: Any) -> dict[str, Any]:
        if field.message_type and field.message_type.GetOptions().map_entry:
            made = {"type": "object", "additionalProperties": self._one(field.message_type.fields_by_name["value"])}
            if field.message_type.fields_by_name["key"].type != _F.TYPE_STRING:
                made["propertyNames"] = {"pattern": "^(-?[0-9]{1,20}|true|false)$"}
        else:
            made = self._one(field)
            if field.is_repeated:
                made = {"type": "array", "items": made}
        text = self._comment(f"{field.containing_type.full_name}.{field.name}")
        return {**made, "description": text} if text else made

    def _one(self, field: Any) -> dict[str, Any]:
        if field.message_type:
            name = field.message_type.full_name
            if name in protojson.WRAPPERS:
                return self._one(field.message_type.fields_by_name["value"])
            return dict(_GOOGLE[name]) if name in _GOOGLE else self._ref(field.message_type)
        if field.enum_type:
            return self._enum(field.enum_type)
        if field.type in _NUMBERS:
            kind, low, high = _NUMBERS[field.type]
            return {"type": "integer", "format": kind, "minimum": low, "maximum": high}
        return dict(_SCALARS.get(field.type, _LONG))

    def _enum(self, enum: Any) -> dict[str, Any]:
        lines = [self._comment(enum.full_name)]
        for value in enum.values:
            text = self._comment(f"{enum.full_name}.{value.name}")
            lines.append(f"- `{value.name}` ({value.number}): {text}".removesuffix(": "))
        names = [value.name for value in enum.values]
        self._schemas[enum.full_name] = {"type": "string", "enum": names, "description": "\n".join(lines).strip()}
        return {"$ref": f"#/components/schemas/{enum.full_name}"}

    def _comment(self, full_name: str) -> str:
        return COMMENTS.get(full_name, "")


_ABOUT = """What a VTrace node does, over HTTP: every rpc of the protocol at its route, with JSON in protobuf's mapping.

Fields are in lowerCamelCase (the names of the .proto files are taken too), int64 is text, bytes are base64. What is
unknown, said twice or of another type is refused with 400. A refusal is a google.rpc.Status."""
_KEY = "For 7 days the same call with the same key gives the same answer and makes nothing again. A UUID, for instance."
_LAST_ID = "Where to go on: the `id` of the last event. It counts before the cursor in the address."
_OF_OWN_KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    SIGNATURE: (
        "Of a caller that keeps its own key (SetAccount): its EIP-712 signature over what PrepareCirc gave, as base64.",
        {"contentEncoding": "base64", "pattern": _BASE64, "minLength": 4},
    ),
    SALT: ("With a signature: the salt that PrepareCirc gave, as base64.", {"pattern": "^[A-Za-z0-9+/]{22}==$"}),
    VERSION: (
        "With a signature: the version that PrepareCirc gave, so that a mistake is told from a state that moved on.",
        {"pattern": f"^[0-9]{{1,{VERSION_DIGITS_MAX}}}$"},
    ),
}
_UPLOAD = "vtrace.v1.UploadRequest"
_IN_ADDRESS = protojson.WRAPPERS | protojson.AS_TEXT.keys()
_KNOWN_OF_FILES = {
    "filename": "The file's name, not a path.",
    "content-type": "What the file is, if the header does not say it. Other parameters are kept as the uploader's own.",
    "encoding": "`base64`: the body is one base64 text.",
}


def _path(route: transcode.Route) -> str:
    parts = list(route.segments)
    for variable in reversed(route.variables):
        parts[variable.first : variable.end] = [f"{{{variable.name}}}"]
    return "/" + "/".join(parts) + (f":{route.verb}" if route.verb else "")


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _events(data: dict[str, Any]) -> dict[str, Any]:
    text = "Server-sent events. `data` is the message as JSON, `id` its cursor; `gone` and `error` end the stream."
    return {"type": "string", "description": text, "contentMediaType": "application/json", "contentSchema": data}


def _response(status: int, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {"description": text, "content": _json({"$ref": f"#/components/schemas/{STATUS}"})}
    header = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}.get(status)
    if header:
        made["headers"] = {header: {"schema": {"type": "string"}}}
    return made

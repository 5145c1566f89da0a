"""Routes of google.api.http: which rpc a request is for, and what it says.

Templates are matched against the path as it came, percent signs and all; only what a variable holds is decoded. A field
that is said twice (path, query, body) is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from node.api import protojson
from node.errors import invalid, shown

ANY, REST = "*", "**"
PARAMETERS_MAX = 1_000

_PATTERNS = ("get", "put", "post", "delete", "patch")
_VARIABLE = re.compile(r"\{([A-Za-z0-9_.]+)(?:=([^{}]+))?\}")
_RESERVED = re.compile(rb"%(2[1346789A-CFa-cf]|3[ABDFabdf]|40|5[BDbd])")


@dataclass(frozen=True, slots=True)
class Variable:
    """Where a template has a field: segments ``first`` up to ``end``, or to the end of the path."""

    fields: tuple[Any, ...]
    first: int
    end: int | None

    def value(self, segments: list[str]) -> str:
        """What a path says for it. One segment is decoded whole; of several only what can't part segments."""
        if self.end is not None and self.end - self.first == 1:
            return _decoded(segments[self.first], self.name)
        joined = "/".join(segments[self.first : self.end]).encode("latin-1")
        kept = _RESERVED.sub(lambda found: b"%25" + found[1], joined)
        return _decoded(kept.decode("latin-1"), self.name)

    @property
    def name(self) -> str:
        """The field as requests name it."""
        return ".".join(field.name for field in self.fields)


@dataclass(frozen=True, slots=True)
class Route:
    """One binding of one rpc. ``body`` is ``*``, the field that the body is, or None."""

    method: Any
    http_method: str
    template: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]
    body: Any

    def fits(self, segments: list[str], verb: str) -> bool:
        """Whether a path has the form of the template."""
        wanted = self.segments
        if verb != self.verb:
            return False
        if wanted and wanted[-1] == REST:
            wanted = wanted[:-1]
            if len(segments) < len(wanted):
                return False
        elif len(segments) != len(wanted):
            return False
        return all(want in (ANY, given) for want, given in zip(wanted, segments, strict=False)) and all(segments)

    @property
    def rank(self) -> tuple[int, ...]:
        """The more a template says, the earlier it is tried."""
        return tuple((ANY, REST).index(one) + 1 if one in (ANY, REST) else 0 for one in self.segments)


class Routes:
    """The routes of some rpcs."""

    def __init__(self, methods: Iterable[Any]) -> None:
        found = [route for method in methods for route in routes_of(method)]
        self.all = tuple(sorted(found, key=lambda route: route.rank))
        self._verbs = {route.verb for route in found if route.verb}

    def find(self, http_method: str, raw_path: str) -> tuple[Route, list[str]] | None:
        """The route for a request and the path's segments."""
        segments, verb = self._cut(raw_path)
        for route in self.all:
            if route.http_method == http_method and route.fits(segments, verb):
                return route, segments
        return None

    def methods(self, raw_path: str) -> list[str]:
        """The HTTP methods that a path has."""
        segments, verb = self._cut(raw_path)
        return sorted({route.http_method for route in self.all if route.fits(segments, verb)})

    def _cut(self, raw_path: str) -> tuple[list[str], str]:
        segments = raw_path.removeprefix("/").split("/")
        if len(segments) > 1 and not segments[-1]:
            segments.pop()  # one slash at the end means nothing
        head, colon, verb = segments[-1].rpartition(":")
        if colon and verb in self._verbs:
            segments[-1] = head
            return segments, verb
        return segments, ""


def routes_of(method: Any) -> list[Route]:
    """The routes that an rpc's google.api.http option gives it."""
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return []
    rule = options.Extensions[annotations_pb2.http]
    return [_route(method, one) for one in (rule, *rule.additional_bindings)]


def request(route: Route, message: Message, segments: list[str], query: bytes, body: Callable[[], Any] | None) -> None:
    """Fill a message with what a request says; ``body`` gives its JSON, None if it has no body."""
    if route.body is None and body is not None:
        raise invalid("body", "not empty", f"none: {route.http_method} {route.template} has fields in its address only")
    if route.body == ANY:
        protojson.fill(message, body() if body else {})
    elif route.body is not None:
        protojson.set_field(message, route.body, body() if body else {}, route.body.name)
    bindings: dict[tuple[Any, ...], list[str]] = {}
    for variable in route.variables:
        bindings[variable.fields] = [variable.value(segments)]
    for name, value in parameters(query):
        fields = field_path(message.DESCRIPTOR, name)
        if fields is None:
            raise invalid(shown(name), "unknown", f"a field of {message.DESCRIPTOR.full_name}")
        bindings.setdefault(fields, []).append(value)
    for fields, values in bindings.items():
        _bind(message, fields, values)


def field_path(descriptor: Any, dotted: str) -> tuple[Any, ...] | None:
    """The fields that a dotted name goes through, only the last of which may be repeated; None if there are none."""
    found: list[Any] = []
    for name in dotted.split("."):
        if found and (found[-1].is_repeated or not found[-1].message_type):
            return None
        field = protojson.names(descriptor).get(name)
        if field is None:
            return None
        found.append(field)
        descriptor = field.message_type
    return tuple(found)


def parameters(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query string, in their order."""
    parts = [part for part in query.decode("latin-1").split("&") if part]
    if len(parts) > PARAMETERS_MAX:
        raise invalid("query", f"{len(parts)} parameters", f"at most {PARAMETERS_MAX}")
    pairs = []
    for part in parts:
        name, _, value = part.replace("+", " ").partition("=")
        name = _decoded(name, "query")
        pairs.append((name, _decoded(value, name)))
    return pairs


def _route(method: Any, rule: Any) -> Route:
    pattern = rule.WhichOneof("pattern")
    http_method, template = (
        (rule.custom.kind, rule.custom.path) if pattern == "custom" else (pattern.upper(), getattr(rule, pattern))
    )
    if rule.response_body or (method.server_streaming and method.client_streaming):
        raise AssertionError(f"{method.full_name}: response_body and streams both ways have no route here")
    segments: list[str] = []
    variables: list[Variable] = []
    path, verb = template, ""
    if ":" in template.rpartition("}")[2].rpartition("/")[2]:
        path, _, verb = template.rpartition(":")
    rest = path.removeprefix("/")
    while rest:
        variable = _VARIABLE.match(rest)
        text = variable[2] or ANY if variable else rest.split("/")[0]
        parts = text.split("/")
        if variable:
            fields = field_path(method.input_type, variable[1])
            if fields is None or fields[-1].is_repeated or fields[-1].message_type:
                raise AssertionError(f"{template}: {variable[1]} is no field for a path")
            end = None if parts[-1] == REST else len(segments) + len(parts)
            variables.append(Variable(fields, len(segments), end))
        segments += parts
        rest = rest[len(variable[0] if variable else text) :].removeprefix("/")
    body: Any = ANY if rule.body == ANY else method.input_type.fields_by_name[rule.body] if rule.body else None
    return Route(method, http_method, template, tuple(segments), verb, tuple(variables), body)


def _bind(message: Any, fields: tuple[Any, ...], values: list[str]) -> None:
    *way, last = fields
    for field in way:
        message = getattr(message, field.name)
        message.SetInParent()
    name = ".".join(field.name for field in fields)
    type_ = last.message_type
    if type_ and type_.full_name not in protojson.WRAPPERS and type_.full_name not in protojson.AS_TEXT:
        raise invalid(name, "in the address", "it in the body, or its fields by dotted names")
    is_bool = last.type == FieldDescriptor.TYPE_BOOL or (type_ and type_.name == "BoolValue")
    given: list[Any] = [{"true": True, "false": False}.get(one, one) for one in values] if is_bool else list(values)
    if last.is_repeated:
        protojson.set_field(message, last, given, name)
        return
    if last.containing_oneof:
        already = message.WhichOneof(last.containing_oneof.name) is not None
    else:
        already = message.HasField(last.name) if last.has_presence else bool(getattr(message, last.name))
    if already or len(given) > 1:
        raise invalid(name, "said twice", "each field once in path, query and body together")
    protojson.set_field(message, last, given[0], name)


def _decoded(text: str, name: str) -> str:
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid(shown(name), text, "UTF-8, percent-encoded") from None

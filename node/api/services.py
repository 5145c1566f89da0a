"""The services of the protocol, as their descriptors say; whatever proto/vtrace/v1 adds is found here by itself."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from google.protobuf import message_factory

from node.wire.vtrace import v1


def _services() -> tuple[Any, ...]:
    names = sorted(info.name for info in pkgutil.iter_modules(v1.__path__) if info.name.endswith("_pb2"))
    files = [importlib.import_module(f"{v1.__name__}.{name}").DESCRIPTOR for name in names]
    return tuple(service for file in files for service in file.services_by_name.values())


SERVICES = _services()
"""The ServiceDescriptor of every service that a node has, ordered by file."""


def message_class(descriptor: Any) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(descriptor)

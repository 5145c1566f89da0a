"""What can go wrong, in one place: gRPC statuses, reasons, and the error that carries them.

A reason is the name of an Error enum value of the protocol; its package is the ErrorInfo domain.
The table below is section "errors" of the protocol's design: every reason has exactly one usual status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

VALUE_SHOWN_MAX = 80
PERSONAL = frozenset(
    (
        *("phone", "email", "realname", "idcard", "passwd", "password", "current_password", "currentPassword"),
        *("legal_name", "legal_phone", "legal_person_name", "legal_person_phone"),
        *("legalName", "legalPhone", "legalPersonName", "legalPersonPhone"),
    )
)
"""Fields whose values no error repeats: errors are logged, by callers too."""
HIDDEN = "the given value"


class Status(StrEnum):
    """The gRPC status codes that VTrace answers with; values are the names of grpc.StatusCode."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Reason(Enum):
    """Why a call was refused: ``package.NAME`` of the protocol's Error enums."""

    PERMISSION_DENIED = "vtrace.v1.PERMISSION_DENIED"
    SERVICE_OFFLINE = "vtrace.v1.SERVICE_OFFLINE"
    CREATE_CIRC_FAILED = "circ.v1.CREATE_CIRC_FAILED"
    CIRC_NOT_FOUND = "circ.v1.CIRC_NOT_FOUND"
    INVALID_PARAMS = "circ.v1.INVALID_PARAMS"
    CIRC_ALREADY_EXIST = "circ.v1.CIRC_ALREADY_EXIST"
    NOT_OWNER = "circ.v1.NOT_OWNER"
    GOODS_NOT_FOUND = "goods.v1.GOODS_NOT_FOUND"
    GOODS_CLASS_NOT_FOUND = "goods.v1.GOODS_CLASS_NOT_FOUND"
    GOODS_SERIAL_NOT_FOUND = "goods.v1.GOODS_SERIAL_NOT_FOUND"
    GOODS_CLASS_CREATE_FAILED = "goods.v1.GOODS_CLASS_CREATE_FAILED"
    GOODS_SERIAL_CREATE_FAILED = "goods.v1.GOODS_SERIAL_CREATE_FAILED"
    GOODS_CREATE_FAILED = "goods.v1.GOODS_CREATE_FAILED"
    PERMISSION_DENY = "goods.v1.PERMISSION_DENY"
    MODEL_NOT_FOUND = "algo.v1.MODEL_NOT_FOUND"
    MODEL_PREDICT_FAILED = "algo.v1.MODEL_PREDICT_FAILED"
    PREDICT_RESULT_UNAVAILABLE = "algo.v1.PREDICT_RESULT_UNAVAILABLE"
    MATERIAL_NOT_FOUND = "algo.v1.MATERIAL_NOT_FOUND"
    PASSWD_HASH_FAILED = "iam.v1.PASSWD_HASH_FAILED"  # nosec B105: a name of the protocol
    CREATE_USER_FAILED = "iam.v1.CREATE_USER_FAILED"
    USER_NOT_FOUND = "iam.v1.USER_NOT_FOUND"
    PASSWD_ERR = "iam.v1.PASSWD_ERR"  # nosec B105: a name of the protocol
    PARAMS_ERR = "iam.v1.PARAMS_ERR"
    ROLE_NOT_EXIST = "iam.v1.ROLE_NOT_EXIST"
    ORG_NOT_EXIST = "iam.v1.ORG_NOT_EXIST"
    ENTRY_DUPLICATE = "iam.v1.ENTRY_DUPLICATE"
    TOKEN_EXPIRED = "iam.v1.TOKEN_EXPIRED"  # nosec B105: a name of the protocol
    REFRESH_USER_FAILED = "iam.v1.REFRESH_USER_FAILED"

    @property
    def domain(self) -> str:
        """The protocol package, such as ``circ.v1``."""
        return self.value.rpartition(".")[0]

    @property
    def status(self) -> Status:
        """The status that goes with this reason."""
        name = self.name
        if name.endswith("_NOT_FOUND") or name in ("ORG_NOT_EXIST", "PREDICT_RESULT_UNAVAILABLE"):
            return Status.NOT_FOUND
        if name.endswith("_FAILED"):
            return Status.INTERNAL
        return _STATUS[self]


_STATUS = {
    Reason.PARAMS_ERR: Status.INVALID_ARGUMENT,
    Reason.INVALID_PARAMS: Status.INVALID_ARGUMENT,
    Reason.ROLE_NOT_EXIST: Status.INVALID_ARGUMENT,
    Reason.TOKEN_EXPIRED: Status.UNAUTHENTICATED,
    Reason.PASSWD_ERR: Status.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: Status.PERMISSION_DENIED,
    Reason.PERMISSION_DENY: Status.PERMISSION_DENIED,
    Reason.NOT_OWNER: Status.FAILED_PRECONDITION,
    Reason.ENTRY_DUPLICATE: Status.ALREADY_EXISTS,
    Reason.CIRC_ALREADY_EXIST: Status.ALREADY_EXISTS,
    Reason.SERVICE_OFFLINE: Status.UNIMPLEMENTED,
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: its name in the request and what is wanted."""

    field: str
    description: str


class VTraceError(Exception):
    """A refusal that reaches the caller, with everything that the caller is told."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, object] | None = None,
        fields: tuple[FieldViolation, ...] = (),
        status: Status | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status or reason.status
        self.message = message
        self.metadata = {key: shown_of(key, value) for key, value in (metadata or {}).items()}
        self.fields = fields
        self.retry_seconds = retry_seconds


class SetupError(Exception):
    """The node can't start or a command can't run as asked; the message says what to do about it."""


class IndexUnavailable(Exception):
    """The index can't be read or written for now: it is locked by another program, or its disk is full."""


class SignerUnavailable(Exception):
    """What keeps the keys can't sign for now; the message says why."""


def shown(value: object) -> str:
    """A value as an error may show it: printable and short."""
    text = value if isinstance(value, str) else repr(value)
    if not text.isprintable():
        text = ascii(text)
    return text if len(text) <= VALUE_SHOWN_MAX else f"{text[:VALUE_SHOWN_MAX]}… ({len(text)} characters)"


def shown_of(field: str, value: object) -> str:
    """The value of a field as an error may show it; ``field`` may be a path such as ``user.phone``."""
    is_personal = any(part.partition("[")[0] in PERSONAL for part in field.split("."))
    return HIDDEN if is_personal else shown(value)


def invalid(field: str, value: object, want: str, reason: Reason = Reason.INVALID_PARAMS) -> VTraceError:
    """A field error that names the field, the value, unless it is personal, and what is wanted."""
    value = shown_of(field, value)
    return VTraceError(
        reason,
        f"{field}: {value}, want {want}",
        metadata={"field": field, "value": value, "want": want},
        fields=(FieldViolation(field, f"want {want}"),),
    )


def not_found(reason: Reason, what: str, value: object) -> VTraceError:
    """Something that the caller named does not exist."""
    return VTraceError(reason, f"{what} {shown_of(what, value)} is not known here", metadata={what: value})


def denied(message: str, reason: Reason = Reason.PERMISSION_DENIED, **metadata: object) -> VTraceError:
    """The caller is known, but may not do this."""
    return VTraceError(reason, message, metadata=metadata)

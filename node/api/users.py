"""rpcs of users: registration, tokens, profile, identity."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from node.api import convert
from node.api.auth import Tokens
from node.api.call import Call
from node.domain.records import User
from node.errors import Reason, denied, invalid
from node.flow.people import People, UserChange
from node.wire.iam.v1 import iam_pb2 as iam
from node.wire.vtrace.v1 import service_pb2 as wire


class Users:
    """Servicer of the rpcs about users."""

    failed = Reason.CREATE_USER_FAILED
    duplicate = Reason.ENTRY_DUPLICATE

    def __init__(self, people: People, tokens: Tokens) -> None:
        self._people = people
        self._tokens = tokens

    def Register(self, request: wire.RegisterRequest, call: Call) -> wire.RegisterResponse:
        """A new user, logged in at once."""
        newcomer = self._people.newcomer(request.phone, request.nickname, request.passwd)

        def register() -> wire.RegisterResponse:
            user = self._people.register(newcomer)
            token = StringValue(value=self._tokens.issue(user))
            return wire.RegisterResponse(user=self._shown(user, to_owner=True), token=token)

        return call.once(register, scope=self._people.scope(newcomer))

    def Token(self, request: wire.TokenRequest) -> wire.TokenResponse:
        """A token for phone and password."""
        return wire.TokenResponse(token=self._tokens.issue(self._people.log_in(request.phone, request.password)))

    def RefreshToken(self, caller: User, _: wire.RefreshTokenRequest) -> wire.RefreshTokenResponse:
        """A new token for one that still holds."""
        return wire.RefreshTokenResponse(token=self._tokens.issue(caller))

    def Profile(self, caller: User, _: wire.ProfileRequest) -> wire.ProfileResponse:
        """The caller."""
        return wire.ProfileResponse(user=self._shown(caller, to_owner=True, whole=True))

    def UpdateUser(self, caller: User, request: wire.UpdateUserRequest) -> wire.UpdateUserResponse:
        """Change oneself; an admin changes anyone."""
        given = request.user
        fixed = [field for field in ("phone", "realname", "idcard", "create_at", "id") if given.HasField(field)]
        known = [self._shown(caller, to_owner=True, whole=whole) for whole in (True, False)] if fixed else []
        for field in fixed:
            if getattr(given, field) not in [getattr(shown, field) for shown in known]:
                raise invalid(f"user.{field}", "another value", "none: it can't be changed here", Reason.PARAMS_ERR)
        change = UserChange(
            nickname=_maybe(given, "nickname"),
            email=_maybe(given, "email"),
            avatar=given.avatar or None,
            role=_maybe(given, "role"),
            password=_maybe(request, "password"),
            current_password=_maybe(request, "current_password"),
        )
        changed = self._people.change_user(caller, given.username.value, change)
        return wire.UpdateUserResponse(user=self._shown(changed, to_owner=changed.id == caller.id))

    def DeleteUser(self, caller: User, request: wire.DeleteUserRequest) -> wire.DeleteUserResponse:
        """Delete oneself; an admin deletes anyone."""
        self._people.delete(caller, request.username)
        return wire.DeleteUserResponse()

    def IdentityAuth(self, caller: User, request: wire.IdentityAuthRequest, call: Call) -> wire.IdentityAuthResponse:
        """Verify the caller's identity."""
        if request.username not in ("", caller.username):
            raise denied("everybody verifies their own identity only", username=request.username)

        def verify() -> wire.IdentityAuthResponse:
            user = self._people.verify_identity(caller, request.realname, request.idcard)
            return wire.IdentityAuthResponse(user=self._shown(user, to_owner=True))

        return call.once(verify)

    def _shown(self, user: User, *, to_owner: bool, whole: bool = False) -> iam.User:
        (personal,) = self._people.personal([user])
        return convert.user(user, personal, to_owner=to_owner, whole=whole)


def _maybe(message: Message, field: str) -> str | None:
    return str(getattr(message, field).value) if message.HasField(field) else None

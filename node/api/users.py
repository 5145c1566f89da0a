"""rpcs of users: registration, tokens, profile, identity."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from node.api import convert
from node.api.auth import Tokens
from node.api.call import Call, Origin
from node.domain.records import User
from node.errors import Reason, invalid
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
        with self._people.login.registering(call.origin.address):
            newcomer = self._people.newcomer(request.phone, request.nickname, request.passwd)

            def register() -> wire.RegisterResponse:
                user = self._people.register(newcomer)
                token = StringValue(value=self._tokens.issue(user))
                return wire.RegisterResponse(user=self._shown(user, to_owner=True), token=token)

            return call.once(register, scope=self._people.scope(newcomer))

    def Token(self, request: wire.TokenRequest, origin: Origin) -> wire.TokenResponse:
        """A token for phone and password."""
        user = self._people.login.log_in(request.phone, request.password, origin.address, origin.tried.update)
        return wire.TokenResponse(token=self._tokens.issue(user))

    def RefreshToken(self, caller: User, _: wire.RefreshTokenRequest, origin: Origin) -> wire.RefreshTokenResponse:
        """A new token for one that still holds, within bounds from the login on."""
        return wire.RefreshTokenResponse(token=self._tokens.issue(caller, origin.logged_in))

    def Profile(self, caller: User, _: wire.ProfileRequest) -> wire.ProfileResponse:
        """The caller."""
        return wire.ProfileResponse(user=self._shown(caller, to_owner=True, whole=True))

    def UpdateUser(self, caller: User, request: wire.UpdateUserRequest, origin: Origin) -> wire.UpdateUserResponse:
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
        changed = self._people.change_user(caller, given.username.value, change, origin.address)
        return wire.UpdateUserResponse(user=self._shown(changed, to_owner=changed.id == caller.id))

    def DeleteUser(self, caller: User, request: wire.DeleteUserRequest) -> wire.DeleteUserResponse:
        """Delete oneself; an admin deletes anyone."""
        self._people.delete(caller, request.username)
        return wire.DeleteUserResponse()

    def IdentityAuth(self, caller: User, request: wire.IdentityAuthRequest, call: Call) -> wire.IdentityAuthResponse:
        """Verify the caller's identity."""

        def verify() -> wire.IdentityAuthResponse:
            user = self._people.verify_identity(caller, request.realname, request.idcard)
            return wire.IdentityAuthResponse(user=self._shown(user, to_owner=True))

        return call.once(verify)

    def _shown(self, user: User, *, to_owner: bool, whole: bool = False) -> iam.User:
        (personal,) = self._people.personal([user])
        return convert.user(user, personal, to_owner=to_owner, whole=whole)


def _maybe(message: Message, field: str) -> str | None:
    return str(getattr(message, field).value) if message.HasField(field) else None

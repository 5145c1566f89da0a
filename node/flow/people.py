"""Users and orgs: who may log in, who they are, and where they belong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError

from node.clock import Clock
from node.domain import limits
from node.domain.access import hold_owner, hold_self
from node.domain.pages import Listing, Place
from node.domain.records import Contact, Org, Personal, User
from node.domain.roles import Role, has
from node.errors import Reason, VTraceError, denied, invalid, not_found
from node.flow.callers import fresh
from node.flow.login import Login
from node.flow.passwords import Passwords
from node.flow.tallies import Tallies
from node.store import log, people, personal, sealed
from node.store.db import Store
from node.store.seal import Seal

GRANTABLE = (Role.NORMAL, Role.TRANSPORTER, Role.EXAMINER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who may register: all values checked, the password hashed."""

    phone: str
    nickname: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class UserChange:
    """What UpdateUser may change; None leaves a value as it is."""

    nickname: str | None = None
    email: str | None = None
    avatar: str | None = None
    role: str | None = None
    password: str | None = None
    current_password: str | None = None


@dataclass(frozen=True, slots=True)
class OrgChange:
    """What UpdateOrg may change; None leaves a value as it is."""

    name: str | None = None
    legal_name: str | None = None
    legal_phone: str | None = None
    info: bytes | None = None


class People:
    """The rules of users and orgs.

    ``role_changed`` is told inside the transaction of every change, so that the chain learns new rights;
    ``submitted`` after it, since the outbox may have grown. ``failed_from`` counts failed logins of addresses.
    """

    def __init__(
        self,
        store: Store,
        seal: Seal,
        clock: Clock,
        *,
        role_changed: Callable[[User], None],
        submitted: Callable[[], None],
        failed_from: Tallies | None = None,
    ) -> None:
        self._store = store
        self._role_changed = role_changed
        self._seal = seal
        self._clock = clock
        self._submitted = submitted
        self._passwords = Passwords()
        self.login = Login(store, seal, clock, self._passwords, failed_from)

    def newcomer(self, phone: str, nickname: str, password: str) -> Newcomer:
        """Check who wants to register. Hashing the password takes long: never inside ``write()``."""
        limits.phone("phone", phone)
        limits.name("nickname", nickname, Reason.PARAMS_ERR)
        return Newcomer(phone, nickname, self._passwords.new("passwd", password, (phone, nickname)))

    def register(self, newcomer: Newcomer, role: Role = Role.NORMAL) -> User:
        """A new user, ``normal`` unless an operator of the node says otherwise."""
        with self._store.write():
            if personal.user_with_phone(self._seal, newcomer.phone) is not None:
                raise _duplicate("phone: a user with this number exists", field="phone")
            user = people.add_user(
                username=f"u{secrets.token_hex(8)}",
                nickname=newcomer.nickname,
                role=role,
                password_hash=newcomer.password_hash,
                now=self._clock(),
            )
            personal.add(self._seal, user.id, newcomer.phone)
            return user

    def make_admin(self, newcomer: Newcomer) -> User:
        """A new admin, as the operator of the node."""
        with self._store.write():
            user = self.register(newcomer, Role.ADMIN)
            log.note_command(self._clock, "admin create", {"user": user.username})
            return user

    def scope(self, newcomer: Newcomer) -> str:
        """Whose the idempotency keys of somebody are who has no user yet."""
        return sealed.phone_scope(self._seal, newcomer.phone)

    def personal(self, users: Sequence[User]) -> list[Personal]:
        """What tells who these users are, for those who may see it."""
        found = personal.of(self._seal, [user.id for user in users])
        return [found[user.id] for user in users]

    def contact(self, org: Org) -> Contact:
        """An org's legal representative, for those who may see it."""
        return personal.contact(self._seal, org.id)

    def called(self, field: str, username: str) -> User:
        """The user with this username, who is not deleted."""
        user = people.user_called(username)
        if user is None or user.deleted:
            raise not_found(Reason.USER_NOT_FOUND, field, username)
        return user

    def verify_identity(self, caller: User, realname: str, resident_id: str) -> User:
        """Real name and resident id (GB 11643) make a normal user a transporter."""
        limits.name("realname", realname, Reason.PARAMS_ERR)
        number = resident_id.strip().upper()
        if not _is_resident_id(number):
            want = "an 18-digit resident id with a valid check digit (GB 11643)"
            raise invalid("idcard", number, want, Reason.PARAMS_ERR)
        with self._store.write():
            user = fresh(caller)
            if personal.is_verified(user.id):
                raise _duplicate("the identity of this user is verified already")
            personal.change(self._seal, user.id, realname=realname, resident_id=number)
            changes: dict[str, object] = {}
            if user.role is Role.NORMAL:
                changes["role"] = Role.TRANSPORTER.value
            if user.role_before is Role.NORMAL:
                changes["role_before"] = Role.TRANSPORTER.value
            return self._changed(user, changes)

    def found_org(self, caller: User, *, name: str, code: str, legal_name: str, legal_phone: str, info: bytes) -> Org:
        """A verified org (social credit code, GB 32100); the caller owns it and becomes its boss."""
        limits.name("org_name", name, Reason.PARAMS_ERR, limits.LONG_NAME_LENGTH_MAX)
        limits.name("legal_name", legal_name, Reason.PARAMS_ERR)
        limits.office_phone("legal_phone", legal_phone)
        limits.text("org_info", info, Reason.PARAMS_ERR)
        number = code.strip().upper()
        if not (len(number) == 18 and number.isascii() and uscc.is_valid(number)):
            want = "an 18-character social credit code with a valid check character (GB 32100)"
            raise invalid("code", code, want, Reason.PARAMS_ERR)
        with self._store.write():
            user = fresh(caller)
            if user.org_id is not None:
                raise _duplicate("this user belongs to an org already", org_id=user.org_id)
            if people.org_with_code(number) is not None:
                raise _duplicate("code: an org with this code exists", code=number)
            org = people.add_org(
                name=name,
                code=number,
                info=info,
                owner_id=user.id,
                now=self._clock(),
            )
            personal.keep_contact(self._seal, org.id, legal_name, legal_phone)
            self._join(user, org.id, Role.BOSS)
        self._submitted()
        return org

    def own_org(self, caller: User, org_id: int) -> Org:
        """The org with this id, which the caller owns."""
        limits.identifier("org_id", org_id, Reason.PARAMS_ERR)
        org = people.org(org_id)
        if org is None:
            raise not_found(Reason.ORG_NOT_EXIST, "org_id", org_id)
        hold_owner(caller, org)
        return org

    def add_member(self, caller: User, org_id: int, username: str) -> None:
        """A user joins the caller's org and becomes a producer, unless the role is more already."""
        with self._store.write():
            org = self.own_org(fresh(caller), org_id)
            user = self.called("username", username)
            if user.org_id is not None:
                raise _duplicate(f"{username} belongs to an org already", username=username)
            if has(user.role, Role.EXAMINER) and not has(user.role, Role.PRODUCER):
                raise invalid("username", username, "no examiner: members of an org produce", Reason.PARAMS_ERR)
            self._join(user, org.id, Role.PRODUCER)
        self._submitted()

    def remove_member(self, caller: User, org_id: int, username: str) -> None:
        """A member leaves the caller's org and falls back to the role it had before."""
        with self._store.write():
            org = self.own_org(fresh(caller), org_id)
            user = self.called("username", username)
            if user.org_id != org.id:
                raise not_found(Reason.USER_NOT_FOUND, "username", username)
            if user.username == org.owner:
                raise invalid("username", username, "a member other than the org's owner", Reason.PARAMS_ERR)
            role = user.role_before or Role.NORMAL
            _end_tokens(user, self._changed(user, {"org": None, "role": role.value, "role_before": None}))
        self._submitted()

    def members(self, caller: User, org_id: int, place: Place) -> tuple[list[User], str]:
        """A page of the members of the caller's org, by id, and the next page's token."""
        org_id = self.own_org(caller, org_id).id
        members = partial(people.members, org_id)
        return place.listed(Listing("members", org_id), members, lambda user: user.id, Reason.PARAMS_ERR)

    def org_of(self, username: str) -> Org:
        """The org that a user belongs to."""
        user = self.called("username", username)
        org = people.org(user.org_id) if user.org_id is not None else None
        if org is None:
            raise VTraceError(Reason.ORG_NOT_EXIST, f"{username} belongs to no org", metadata={"username": username})
        return org

    def change_org(self, caller: User, org_id: int, change: OrgChange) -> Org:
        """Change the caller's org."""
        columns: dict[str, object] = {}
        name = phone = None
        if change.name is not None:
            columns["name"] = limits.name("org_name", change.name, Reason.PARAMS_ERR, limits.LONG_NAME_LENGTH_MAX)
        if change.legal_name is not None:
            name = limits.name("legal_person_name", change.legal_name, Reason.PARAMS_ERR)
        if change.legal_phone is not None:
            phone = limits.office_phone("legal_person_phone", change.legal_phone)
        if change.info is not None:
            columns["info"] = limits.text("org_info", change.info, Reason.PARAMS_ERR)
        with self._store.write():
            org = self.own_org(fresh(caller), org_id)
            if columns:
                people.change_org(org_id, **columns)
            if name is not None or phone is not None:
                known = self.contact(org)
                name, phone = (known.name if name is None else name, known.phone if phone is None else phone)
                personal.keep_contact(self._seal, org_id, name, phone)
            return self.own_org(caller, org_id)

    def change_user(self, caller: User, username: str, change: UserChange, address: str) -> User:
        """Change oneself; an admin changes anyone, roles too. ``address`` is where the call comes from."""
        columns: dict[str, object] = {}
        if change.nickname is not None:
            columns["nickname"] = limits.name("nickname", change.nickname, Reason.PARAMS_ERR)
        if change.email is not None:
            limits.email("email", change.email)
        if change.avatar is not None:
            columns["avatar"] = limits.avatar("avatar", change.avatar)
        is_self = username in ("", caller.username)
        if change.password is not None:
            if is_self:
                self.login.confirm(caller, change.current_password or "", address)
            columns["password_hash"] = self._passwords.new(
                "password", change.password, self._known_of(caller, username, change)
            )
        with self._store.write():
            user = self._subject(caller, username)
            if change.role is not None and change.role != user.role.value:
                if not has(fresh(caller).role, Role.ADMIN):
                    raise denied("only an admin may change roles", role=change.role)
                columns |= _granted(user, change.role)
            changed = self._changed(user, columns)
            personal.change(self._seal, user.id, email=change.email)
            if change.password is not None:
                people.revoke_tokens(user.id)
            elif change.role is not None:
                _end_tokens(user, changed)
        self._submitted()
        return changed

    def grant(self, username: str, role: str) -> User:
        """Give a user a role, as the operator of the node."""
        with self._store.write():
            user = self.called("USERNAME", username)
            changed = self._changed(user, _granted(user, role))
            _end_tokens(user, changed)
            log.note_command(self._clock, "admin grant", {"user": user.username, "role": changed.role.value})
        self._submitted()
        return changed

    def delete(self, caller: User, username: str) -> None:
        """Delete oneself; an admin deletes anyone. Tokens die at once, history stays."""
        with self._store.write():
            user = self._subject(caller, username)
            people.revoke_tokens(user.id)
            personal.release_phone(user.id)
            self._changed(user, {"deleted": True})
        self._submitted()

    def _subject(self, caller: User, username: str) -> User:
        """The user that a call is about: the caller itself, or for an admin anyone (inside ``write()``)."""
        caller = fresh(caller)
        hold_self(caller, username, Role.ADMIN)
        return caller if username in ("", caller.username) else self.called("username", username)

    def _known_of(self, caller: User, username: str, change: UserChange) -> tuple[str, ...]:
        """What others know of a user: nothing that a password should be made of."""
        user = caller if username in ("", caller.username) else self.called("username", username)
        (known,) = self.personal([user])
        return known.phone, known.email, user.username, user.nickname, change.email or "", change.nickname or ""

    def _join(self, user: User, org_id: int, role: Role) -> None:
        joined = user.role if has(user.role, role) else role
        self._changed(user, {"org": org_id, "role": joined.value, "role_before": user.role.value})

    def _changed(self, user: User, columns: dict[str, object]) -> User:
        if not columns:
            return user
        changed = people.change_user(user.id, **columns)
        self._role_changed(changed)
        return changed


def _end_tokens(before: User, after: User) -> None:
    """Whoever is left with a role that lacks something of the one before logs in anew.

    No token holds a role, so what a role allows ends at once anyhow.
    """
    if not has(after.role, before.role):
        people.revoke_tokens(before.id)


def _is_resident_id(number: str) -> bool:
    """GB 11643: 17 digits with a date of birth, and the check character. Tables of places age: none is asked."""
    body, check = number[:-1], number[-1:]
    if len(number) != 18 or not (body.isascii() and body.isdigit()) or check != ric.calc_check_digit(number):
        return False
    try:
        ric.get_birth_date(number)
    except ValidationError:
        return False
    return True


def _granted(user: User, role: str) -> dict[str, object]:
    """The columns that give a user a role. A member keeps what the org gives, unless it becomes an admin."""
    try:
        wanted = Role(role)
    except ValueError:
        names = ", ".join(grantable.value for grantable in GRANTABLE)
        raise invalid("role", role, f"one of {names}", Reason.ROLE_NOT_EXIST) from None
    if wanted not in GRANTABLE:
        want = "a role that no org gives: normal, transporter, examiner or admin"
        raise invalid("role", role, want, Reason.PARAMS_ERR)
    if user.org_id is None:
        return {"role": wanted.value}
    if wanted is Role.ADMIN:
        return {"role": wanted.value, "role_before": wanted.value}
    if user.role is not Role.ADMIN:
        raise invalid("role", role, f"{user.username} out of org {user.org_id} first", Reason.PARAMS_ERR)
    org = people.org(user.org_id)
    in_org = Role.BOSS if org is not None and org.owner == user.username else Role.PRODUCER
    return {"role": in_org.value, "role_before": wanted.value}


def _duplicate(message: str, **metadata: object) -> VTraceError:
    return VTraceError(Reason.ENTRY_DUPLICATE, message, metadata=metadata)

"""rpcs of orgs and their members."""

from __future__ import annotations

from node.api import convert
from node.api.call import Call
from node.api.paged import place_of
from node.domain.records import Org, User
from node.errors import Reason, invalid
from node.flow.people import OrgChange, People
from node.wire.iam.v1 import iam_pb2 as iam
from node.wire.vtrace.v1 import service_pb2 as wire


class Orgs:
    """Servicer of the rpcs about orgs."""

    failed = Reason.CREATE_USER_FAILED
    duplicate = Reason.ENTRY_DUPLICATE

    def __init__(self, people: People) -> None:
        self._people = people

    def OrgAuth(self, caller: User, request: wire.OrgAuthRequest, call: Call) -> wire.OrgAuthResponse:
        """Verify an org; the caller owns it."""

        def found() -> wire.OrgAuthResponse:
            org = self._people.found_org(
                caller,
                name=request.org_name,
                code=request.code,
                legal_name=request.legal_name,
                legal_phone=request.legal_phone,
                info=request.org_info.value,
            )
            return wire.OrgAuthResponse(org=self._shown(org, caller))

        return call.once(found)

    def Member(self, caller: User, request: wire.MemberRequest, call: Call) -> wire.MemberResponse:
        """Take a user into the caller's org."""

        def add() -> wire.MemberResponse:
            self._people.add_member(caller, request.org_id, request.username)
            return wire.MemberResponse()

        return call.once(add)

    def OrgRemoveMember(self, caller: User, request: wire.OrgRemoveMemberRequest) -> wire.OrgRemoveMemberResponse:
        """Let a member go."""
        self._people.remove_member(caller, request.org_id, request.username)
        return wire.OrgRemoveMemberResponse(ok=True)

    def ListOrgMember(self, caller: User, request: wire.ListOrgMemberRequest) -> wire.ListOrgMemberResponse:
        """The members of the caller's org."""
        members, following = self._people.members(caller, request.org_id, place_of(request))
        known = zip(members, self._people.personal(members), strict=True)
        shown = [convert.user(one, personal, to_owner=one.id == caller.id) for one, personal in known]
        return wire.ListOrgMemberResponse(users=shown, next_page_token=following)

    def UpdateOrg(self, caller: User, request: wire.UpdateOrgRequest) -> wire.UpdateOrgResponse:
        """Change the caller's org."""
        given = request.org
        org_id = given.id.value
        org = self._people.own_org(caller, org_id)
        for field, known in (("org_code", org.code), ("owner", org.owner)):
            if given.HasField(field) and getattr(given, field).value != known:
                value = getattr(given, field).value
                raise invalid(f"org.{field}", value, f"{known} or none: it can't be changed", Reason.PARAMS_ERR)
        change = OrgChange(
            name=given.org_name.value if given.HasField("org_name") else None,
            legal_name=given.legal_person_name.value if given.HasField("legal_person_name") else None,
            legal_phone=given.legal_person_phone.value if given.HasField("legal_person_phone") else None,
            info=given.org_info.value if given.HasField("org_info") else None,
        )
        changed = self._people.change_org(caller, org_id, change)
        return wire.UpdateOrgResponse(org=self._shown(changed, caller))

    def GetOrgUser(self, caller: User, request: wire.GetOrgOfUserRequest) -> wire.GetOrgOfUserResponse:
        """The org of a user, the caller's own without a name."""
        org = self._people.org_of(request.username or caller.username)
        return wire.GetOrgOfUserResponse(org=self._shown(org, caller))

    def _shown(self, org: Org, caller: User) -> iam.Org:
        return convert.org(org, self._people.contact(org), to_owner=org.owner == caller.username)

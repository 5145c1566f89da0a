"""The embedded chain's read-only JSON-RPC at ``POST /rpc``, so that anyone can audit the node.

Strangers' questions must leave the processor to the partners' records: few are answered at once, a request
has a budget of time and of bytes, and ``eth_call`` asks the node's contract alone, with little gas, since
what the EVM does for a call is not paid for by anybody. ``eth_getProof`` proves the contract's storage alone, a few
words at a time.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from node.chain.transport import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    ChainUnavailable,
    JsonRpc,
    RpcError,
)
from node.domain import bounded_json

BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 10
CALLS_MAX = 100
THREADS = 2
ANSWER_SECONDS_MAX = 5.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
CALL_GAS_MAX = 200_000
PROOF_SLOTS_MAX = 8
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT = {
    **ANY_ORIGIN,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}


class RpcEndpoint:
    """Answers JSON-RPC 2.0 requests, single or batched, with the methods that only read."""

    def __init__(self, chain: JsonRpc, contract: str) -> None:
        self._chain = chain
        # Only a node with an embedded chain has this endpoint, and an EVM in its memory.
        from node.chain.embedded import READ_METHODS

        self._methods = READ_METHODS
        self._contract = contract
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request. It may come from any site's page: what is served is for everybody, and needs no login."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=PREFLIGHT)
        body = b""
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for part in request.stream():
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        return _refused(413, INVALID_REQUEST, f"request: want at most {BODY_BYTES_MAX} bytes")
        except TimeoutError:
            return _refused(408, INVALID_REQUEST, f"request: want all of it within {BODY_SECONDS_MAX} s")
        except ClientDisconnect:
            return Response(status_code=400, headers=ANY_ORIGIN)
        try:
            asked = bounded_json.loads(body)
        except ValueError:
            return _refused(400, PARSE_ERROR, "request: not JSON")
        calls = asked if isinstance(asked, list) else [asked]
        if not 1 <= len(calls) <= CALLS_MAX:
            return _refused(400, INVALID_REQUEST, f"batch: {len(calls)} calls, want 1 to {CALLS_MAX}")
        answers = await to_thread.run_sync(partial(self._answers, calls), limiter=self._threads)
        return _json(200, b"[" + b",".join(answers) + b"]" if isinstance(asked, list) else answers[0])

    def _answers(self, calls: list[Any]) -> list[bytes]:
        until, bytes_left = time.monotonic() + ANSWER_SECONDS_MAX, ANSWER_BYTES_MAX
        answers: list[bytes] = []
        for call in calls:
            call_id = call.get("id") if isinstance(call, dict) else None
            if time.monotonic() > until or bytes_left <= 0:
                result: Any = RpcError(LIMIT_EXCEEDED, "request: asks for too much at once; ask for less")
            else:
                result = self._result(call)
            answers.append(_answer(call_id, result))
            bytes_left -= len(answers[-1])
        return answers

    def _result(self, call: Any) -> Any:
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return RpcError(INVALID_REQUEST, 'request: want {"jsonrpc":"2.0","id":…,"method":…,"params":[…]}')
        method, params = call["method"], call.get("params", [])
        if method not in self._methods:
            return RpcError(METHOD_NOT_FOUND, f"method {method[:80]} is not served here")
        try:
            if method == "eth_call":
                params = self._cheap(params)
            elif method == "eth_getProof":
                self._check_proof(params)
        except RpcError as fault:
            return fault
        try:
            (result,) = self._chain.batch([(method, params)])
        except ChainUnavailable as fault:
            return RpcError(INTERNAL_ERROR, str(fault))
        return result

    def _cheap(self, params: Any) -> Any:
        """The params of an eth_call as it is executed for strangers."""
        call = params[0] if isinstance(params, list) and params else None
        to = call.get("to") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(to, str) or to.lower() != self._contract.lower():
            raise RpcError(INVALID_PARAMS, f"eth_call: asks the contract {self._contract} only")
        return [{**call, "gas": hex(CALL_GAS_MAX)}, *params[1:]]

    def _check_proof(self, params: Any) -> None:
        """What strangers may ask to have proven: some words of the contract's storage."""
        address, slots = params[:2] if isinstance(params, list) and len(params) >= 2 else (None, None)
        if not isinstance(address, str) or address.lower() != self._contract.lower():
            raise RpcError(INVALID_PARAMS, f"eth_getProof: proves the contract {self._contract} only")
        if not isinstance(slots, list) or len(slots) > PROOF_SLOTS_MAX:
            raise RpcError(INVALID_PARAMS, f"eth_getProof: want an array of at most {PROOF_SLOTS_MAX} slots")


def _answer(call_id: Any, result: Any) -> bytes:
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call_id if isinstance(call_id, str | int | None) else None}
    if isinstance(result, RpcError):
        answer["error"] = result.to_json()
    else:
        answer["result"] = result
    return json.dumps(answer, separators=(",", ":")).encode()


def _refused(status: int, code: int, message: str) -> Response:
    return _json(status, _answer(None, RpcError(code, message)))


def _json(status: int, body: bytes) -> Response:
    return Response(body, status_code=status, headers=ANY_ORIGIN, media_type="application/json")

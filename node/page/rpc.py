"""The embedded chain's read-only JSON-RPC at ``POST /rpc``, so that anyone can audit the node."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from node.chain.embedded import READ_METHODS
from node.chain.transport import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    ChainUnavailable,
    JsonRpc,
    RpcError,
)

BODY_BYTES_MAX = 1024 * 1024
CALLS_MAX = 100
THREADS = 2


class RpcEndpoint:
    """Answers JSON-RPC 2.0 requests, single or batched, with the methods that only read."""

    def __init__(self, chain: JsonRpc) -> None:
        self._chain = chain
        # Strangers' questions must leave the processor to the partners' records.
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    error = RpcError(INVALID_REQUEST, f"request: want at most {BODY_BYTES_MAX} bytes")
                    return JSONResponse(_answer(None, error), status_code=413)
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return JSONResponse(_answer(None, RpcError(PARSE_ERROR, "request: not JSON")), status_code=400)
        calls = asked if isinstance(asked, list) else [asked]
        if not 1 <= len(calls) <= CALLS_MAX:
            error = RpcError(INVALID_REQUEST, f"batch: {len(calls)} calls, want 1 to {CALLS_MAX}")
            return JSONResponse(_answer(None, error), status_code=400)
        answers = await to_thread.run_sync(partial(self._answers, calls), limiter=self._threads)
        return JSONResponse(answers if isinstance(asked, list) else answers[0])

    def _answers(self, calls: list[Any]) -> list[dict[str, Any]]:
        checked = [_fault(call) for call in calls]
        good = [call for call, fault in zip(calls, checked, strict=True) if fault is None]
        try:
            results = iter(self._chain.batch([(call["method"], call.get("params", [])) for call in good]))
        except ChainUnavailable as fault:
            results = iter([RpcError(INTERNAL_ERROR, str(fault))] * len(good))
        return [
            _answer(call.get("id") if isinstance(call, dict) else None, next(results) if fault is None else fault)
            for call, fault in zip(calls, checked, strict=True)
        ]


def _fault(call: Any) -> RpcError | None:
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return RpcError(INVALID_REQUEST, 'request: want {"jsonrpc":"2.0","id":…,"method":…,"params":[…]}')
    if call["method"] not in READ_METHODS:
        return RpcError(METHOD_NOT_FOUND, f"method {call['method'][:80]} is not served here")
    return None


def _answer(call_id: Any, result: Any) -> dict[str, Any]:
    if not isinstance(call_id, str | int | None):
        call_id = None
    if isinstance(result, RpcError):
        return {"jsonrpc": "2.0", "id": call_id, "error": result.to_json()}
    return {"jsonrpc": "2.0", "id": call_id, "result": result}

"""Step 14: predictions that stand as evidence in exam circs. The auditor runs the model itself and compares.

An exam circ's form may carry ``{"prediction": {"model", "version", "input", "material"}}``: which model saw which
material in the stored file that the CID ``input`` names. The form's digest is on chain, so the claim can't change; the
model and the file's bytes are the auditor's own to check. What is not of this shape is a form like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node.domain import bounded_json
from node.domain.model import CircStatus, CircType
from node.domain.recognition import Recognised
from node.errors import Reason, VTraceError
from node.flow.audit.findings import Difference, What, quoted, short
from node.flow.audit.shown import AuditImpossible, ShownCirc, ShownGoods

TEXT_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a form claims."""

    model: str
    version: int
    input: str
    material: str


class Predictions:
    """Holds the predictions of shown circs.

    ``recognise`` runs a model of the auditor's own, as Catalogue does. ``fetch`` answers the bytes of a CID, held
    against it, or None where nobody has them; it raises AuditImpossible when it can't ask.
    """

    def __init__(self, recognise: Callable[[str, bytes], Recognised], fetch: Callable[[str], bytes | None]) -> None:
        self._recognise = recognise
        self._fetch = fetch
        self._known: dict[Prediction, str] = {}

    @property
    def held(self) -> int:
        """How many different predictions were held."""
        return len(self._known)

    def differences(self, goods_id: int, answer: ShownGoods) -> Iterator[Difference]:
        """One for each exam circ on the chain whose prediction the model does not repeat."""
        for circ in answer.circs:
            claim = _claim(circ)
            if claim is None:
                continue
            if claim not in self._known:
                self._known[claim] = self._fault(claim)
            if fault := self._known[claim]:
                name = short(circ.trans_id or "")
                detail = f"circ {name} prediction differs: {fault}"
                yield Difference(goods_id, What.PREDICTION, detail, 14, circ.trans_id)

    def _fault(self, claim: Prediction) -> str:
        """How the claim is wrong; empty if the model says the same."""
        data = self._fetch(claim.input)
        if data is None:
            return f"nobody has its input {quoted(claim.input)}"
        try:
            seen = self._recognise(f"{claim.model}/{claim.version}", data)
        except VTraceError as refusal:
            if refusal.reason in (Reason.MODEL_NOT_FOUND, Reason.MODEL_PREDICT_FAILED):
                raise AuditImpossible(
                    f"model {quoted(claim.model)} version {claim.version} can't be run here: {refusal.message}. "
                    "Name the folder that has it (--models)"
                ) from refusal
            return f"it names {quoted(claim.material)}, the model refuses the input: {refusal.message}"
        if seen.material.name != claim.material:
            return f"it names {quoted(claim.material)}, the model sees {quoted(seen.material.name)}"
        return ""


def _claim(circ: ShownCirc) -> Prediction | None:
    if circ.circ_type != CircType.EXAM or circ.status != CircStatus.SUCCESS or b'"prediction"' not in circ.form:
        return None
    try:
        form = bounded_json.loads(circ.form)
    except ValueError:
        return None
    given = form.get("prediction") if isinstance(form, dict) else None
    if not isinstance(given, dict):
        return None
    texts = [given.get(name) for name in ("model", "input", "material")]
    version = given.get("version")
    if not all(isinstance(text, str) and 1 <= len(text) <= TEXT_LENGTH_MAX for text in texts):
        return None
    if type(version) is not int:
        return None
    return Prediction(given["model"], version, given["input"], given["material"])

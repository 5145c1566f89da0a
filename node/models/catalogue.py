"""The models of a node: folders ``NAME/VERSION/`` with ``card.json`` and ``model.onnx``, read at start.

A card may name a server that runs the model instead (``remote``).

A folder that can't be used is listed as unavailable with its reason; it never keeps the node from starting. Cards are
read at once, the models themselves in the background, at the latest when somebody asks for one: until then they are
``loading``.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.domain.recognition import Model, ModelState, Recognised
from node.errors import Reason, SetupError, Status, VTraceError, not_found
from node.models.card import CARD_BYTES_MAX, NAME, Card, CardFault, read_card
from node.models.runner import (
    MODEL_BYTES_MAX,
    SCORES,
    ModelBusy,
    ModelDown,
    ModelFault,
    ModelTimeout,
    Numbers,
    Runner,
)

SHIPPED = Path(__file__).parent / "shipped"
MODELS_MAX = 100
RETRY_SECONDS = 1
AGAIN_SECONDS = 5
LOAD_SECONDS_MAX = 5.0
_VERSION = re.compile(r"[1-9][0-9]{0,8}")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """One folder. Only the loading thread changes it, ``runner`` before ``state``."""

    name: str
    version: int
    folder: Path
    card: Card | None
    state: ModelState
    reason: str = ""
    runner: Runner | None = None
    again: bool = False
    """Whether loading it is worth another try."""

    @property
    def model(self) -> Model:
        """As the rest of the house sees it."""
        card, state, reason = self.card, self.state, self.reason
        if self.runner is not None and self.runner.fault:
            state, reason = ModelState.UNAVAILABLE, self.runner.fault
        if card is None:
            return Model(self.name, self.version, state, "", reason=reason)
        return Model(self.name, self.version, state, card.description, card.materials, card.shown, reason=reason)


class Catalogue:
    """All models of some folders, the first folder first; what comes with the node can't be replaced."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._entries: dict[tuple[str, int], _Entry] = {}
        for folder in folders:
            self._scan(folder)
        self._loader = threading.Thread(target=self._keep_loading, name="models", daemon=True)
        self._start_lock = threading.Lock()
        self._tried = threading.Event()
        self._closing = threading.Event()

    def _scan(self, folder: Path) -> None:
        try:
            found = sorted(_versions(folder))
        except OSError as fault:
            raise SetupError(f"--models {folder}: {fault.strerror}") from fault
        for name, version, path in found:
            if (name, version) in self._entries:
                log.warning("model %s version %d in %s is passed over: it is known already", name, version, folder)
            elif len(self._entries) >= MODELS_MAX:
                raise SetupError(f"--models {folder}: more than {MODELS_MAX} models")
            else:
                self._entries[name, version] = _opened(name, version, path)

    def start(self) -> None:
        """Load the models, in the background; nothing happens the second time."""
        with self._start_lock:
            if self._loader.ident is None and not self._closing.is_set():
                self._loader.start()

    def await_loaded(self) -> None:
        """Start, and wait until every model was tried once; not for longer than callers like to wait."""
        self.start()
        self._tried.wait(LOAD_SECONDS_MAX)

    def close(self) -> None:
        """Stop loading, and let go of the models."""
        with self._start_lock:
            self._closing.set()
        if self._loader.ident is not None:
            self._loader.join()
        for entry in self._entries.values():
            if entry.runner is not None:
                entry.runner.close()

    def load(self) -> None:
        """Load the models, and return when each is ready or unavailable."""
        for entry in self._entries.values():
            if (entry.state is ModelState.LOADING or entry.again) and not self._closing.is_set():
                self._load(entry)

    def _keep_loading(self) -> None:
        """Load all, and those whose server does not answer yet again and again."""
        self.load()
        self._tried.set()
        while any(entry.again for entry in self._entries.values()) and not self._closing.wait(AGAIN_SECONDS):
            self.load()

    def _load(self, entry: _Entry) -> None:
        assert entry.card is not None
        known, entry.again = entry.reason, False
        try:
            entry.runner = _runner(entry.folder, entry.card)
            entry.state, entry.reason = ModelState.READY, ""
            log.info("model %s version %d is ready", entry.name, entry.version)
            return
        except (ModelDown, ModelTimeout, ModelBusy) as fault:
            entry.reason, entry.again = str(fault), entry.card.remote is not None
        except ModelFault as fault:
            entry.reason = str(fault)
        except Exception:
            log.exception("model %s version %d can't be loaded", entry.name, entry.version)
            entry.reason = "it can't be loaded; the node's log says why"
        entry.state = ModelState.UNAVAILABLE
        if entry.reason != known:
            log.warning("model %s version %d is unavailable: %s", entry.name, entry.version, entry.reason)

    def models(self) -> list[Model]:
        """Every model, by name and version."""
        return [self._entries[key].model for key in sorted(self._entries)]

    def can_run(self) -> bool:
        """Whether there is a model that can be asked now; before they are loaded, whether there is one to load."""
        wanted = ModelState.LOADING if self._loader.ident is None else ModelState.READY
        return any(entry.state is wanted for entry in self._entries.values())

    def recognise(self, name: str, data: bytes) -> Recognised:
        """What a model sees in ``data``: the newest version that is ready, or that of ``NAME/VERSION``.

        MODEL_NOT_FOUND, INVALID_ARGUMENT for data that the model can't take, PREDICT_RESULT_UNAVAILABLE where the
        model measures that the data is not like what it learned from, MODEL_PREDICT_FAILED when it broke.
        """
        # What reads and runs models is a third of a node's memory, and most nodes never do.
        from node.models.parse import parse

        entry, card, runner = self._ready(name)
        outputs = _run(entry, runner, parse(data, card.input))
        measures = {measure: float(outputs[measure][0]) for measure in card.reject}
        scores = outputs[SCORES].tolist()
        for measure, bound in card.reject.items():
            if not bound.holds(measures[measure]):
                raise _not_told(entry, measure, measures[measure])
        if not all(map(math.isfinite, scores)):
            raise _not_told(entry, SCORES, float("nan"))
        best = scores.index(max(scores))
        evidence: dict[str, object] = {"label": card.classes[best].label, "measures": measures}
        if card.scores_are_probabilities:
            evidence["probability"] = scores[best]
        return Recognised(entry.model, card.classes[best].material, evidence)

    def _ready(self, name: str) -> tuple[_Entry, Card, Runner]:
        wanted, slash, version = name.partition("/")
        found = [
            self._entries[key]
            for key in sorted(self._entries, reverse=True)
            if key[0] == wanted and (not slash or version == str(key[1]))
        ]
        if not found:
            raise not_found(Reason.MODEL_NOT_FOUND, "model_name", name)
        for entry in found:
            if entry.state is ModelState.READY and entry.card is not None and entry.runner is not None:
                return entry, entry.card, entry.runner
        newest = found[0]
        loading = newest.state is ModelState.LOADING or newest.again
        raise VTraceError(
            Reason.MODEL_PREDICT_FAILED,
            f"model {newest.name} is {newest.state.value}{'' if loading else ': ' + newest.reason}",
            metadata={"model_name": name, "state": newest.state.value},
            status=Status.UNAVAILABLE if loading else Status.FAILED_PRECONDITION,
            retry_seconds=RETRY_SECONDS if loading else None,
        )


def _run(entry: _Entry, runner: Runner, values: Numbers) -> Mapping[str, Numbers]:
    metadata = {"model_name": entry.name, "version": entry.version}
    try:
        return runner.run(values)
    except ModelBusy as fault:
        raise VTraceError(
            Reason.MODEL_PREDICT_FAILED,
            f"model {entry.name} takes no more calls just now: {fault}",
            metadata=metadata,
            status=Status.RESOURCE_EXHAUSTED,
            retry_seconds=RETRY_SECONDS,
        ) from fault
    except ModelDown as fault:
        raise VTraceError(
            Reason.MODEL_PREDICT_FAILED,
            f"model {entry.name} can't be reached just now: what runs it does not answer",
            metadata=metadata,
            status=Status.UNAVAILABLE,
            retry_seconds=AGAIN_SECONDS,
        ) from fault
    except (ModelFault, ModelTimeout) as fault:
        log.warning("model %s version %d failed: %s", entry.name, entry.version, fault)
        raise VTraceError(
            Reason.MODEL_PREDICT_FAILED, f"model {entry.name} failed; the node's log says why", metadata=metadata
        ) from fault


def _not_told(entry: _Entry, measure: str, value: float) -> VTraceError:
    metadata = {"model_name": entry.name, "version": entry.version, "measure": measure, "value": f"{value:.4g}"}
    return VTraceError(
        Reason.PREDICT_RESULT_UNAVAILABLE,
        f"cannot be told: by its {measure}, the data is not like what model {entry.name} learned from",
        metadata=metadata,
    )


def _versions(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Name, version and path of each model folder in ``folder``."""
    for named in folder.iterdir():
        if named.name.startswith((".", "_")) or not named.is_dir():
            continue
        for path in named.iterdir():
            if path.name.startswith((".", "_")) or not path.is_dir():
                continue
            if NAME.fullmatch(named.name) and _VERSION.fullmatch(path.name):
                yield named.name, int(path.name), path
            else:
                log.warning("%s is passed over: want NAME/VERSION, a name of a-z, 0-9, ._- and a number", path)


def _opened(name: str, version: int, folder: Path) -> _Entry:
    try:
        card = read_card(_read(folder / "card.json", CARD_BYTES_MAX))
        if (card.name, card.version) != (name, version):
            raise CardFault(f"card.name and card.version: want {name} and {version}, as the folder says")
        if card.remote is None and not (folder / "model.onnx").is_file():
            raise CardFault("model.onnx is missing")
    except (CardFault, ModelFault) as fault:
        log.warning("model %s version %d is unavailable: %s", name, version, fault)
        return _Entry(name, version, folder, None, ModelState.UNAVAILABLE, reason=str(fault))
    return _Entry(name, version, folder, card, ModelState.LOADING)


def _runner(folder: Path, card: Card) -> Runner:
    if card.remote is not None:
        from node.models.remote import RemoteModel

        return RemoteModel(card)
    from node.models.onnx import OnnxModel

    content = _read(folder / "model.onnx", MODEL_BYTES_MAX)
    if card.sha256 is not None and hashlib.sha256(content).hexdigest() != card.sha256:
        raise ModelFault("model.onnx is not the one of the card: its sha256 differs")
    return OnnxModel(content, card)


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as fault:
        raise ModelFault(f"{path.name}: {fault.strerror}") from fault
    if len(content) > bytes_max:
        raise ModelFault(f"{path.name}: more than {bytes_max} bytes")
    return content

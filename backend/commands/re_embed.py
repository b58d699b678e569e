"""`python -m backend re-embed`: another model for the gallery, in steps, while replicas answer.

`--to PACK` makes templates from the stored crops and compares; `--switch` brings the new model into force; `--roll-back` the old
one; `--finish` and `--abandon` drop what is no longer wanted. Each may be killed and run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from backend import settings
from backend.errors import FaceAuthError
from backend.faces.engine import Engine
from backend.faces.load import EngineError, load_engine
from backend.model_comparison import Judge, Report, compare
from backend.re_embed import Filled, ReEmbed, WouldBeLeftBehind
from backend.settings import Settings
from backend.store import missing_templates, model_change
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.job_leases import new_holder
from backend.store.keyring import Keyring, KeyringError
from backend.store.model_change import ModelChangeError
from backend.store.tables import ChangeState, ModelChange
from backend.thresholds import ThresholdsError, calibrated, thresholds_of

FAILED = 1
SHOWN = 10
NEXT = {
    ChangeState.filling: (
        "Next: let every replica load the new model (BACKEND_NEXT_MODEL_PACK or BACKEND_NEXT_ENGINE, one restart after another;"
        " GET /v1/fleet/self lists it under other_models), look at the comparison, then `python -m backend re-embed --switch`."
    ),
    ChangeState.switched: (
        "Next: `python -m backend re-embed --roll-back` goes back; once you are sure `python -m backend re-embed --finish` drops"
        " the old model's templates."
    ),
    ChangeState.rolled_back: (
        "Next: `python -m backend re-embed --switch` once more, or `python -m backend re-embed --abandon` drops the new model's"
        " templates."
    ),
    ChangeState.finished: (
        "Next: name the new model in BACKEND_ENGINE and BACKEND_MODEL_PACK and leave BACKEND_NEXT_… out, at the next restart of"
        " each replica."
    ),
    ChangeState.abandoned: "Next: leave BACKEND_NEXT_… out, at the next restart of each replica.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--switch", action="store_true", help="make what is missing, then bring the new model into force")
    step.add_argument("--roll-back", action="store_true", help="make what is missing, then bring the old model into force again")
    step.add_argument("--finish", action="store_true", help="give up the old model and drop its templates")
    step.add_argument("--abandon", action="store_true", help="give up the new model and drop its templates")
    parser.add_argument("--to", metavar="PACK", help="the new model: a pack's folder, its name in BACKEND_MODELS_DIR, or offline")
    parser.add_argument("--leave-behind", action="store_true", help="switch although some samples have no template")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="images in inference at once (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when the step is done, 1 when it is not: also a filling that leaves somebody without a template."""
    chosen = settings.load()
    if args.workers < 1:
        print("--workers must be 1 or more", file=sys.stderr)
        return FAILED
    try:
        with closing(Store.open(chosen.database_url.get_secret_value(), keyring=Keyring.load(chosen.master_key_file))) as store:
            _refuse_other_schema(store)
            answer = _Command(args, chosen, store).run()
    except WouldBeLeftBehind as error:
        _say({"error": str(error), "without_template": list(error.sample_ids)}, [str(error), *_ids(error.sample_ids)], args.json)
        return FAILED
    except (FaceAuthError, KeyringError, UnsafeDatabase, EngineError, ThresholdsError, ModelChangeError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    _say(answer.document, answer.sentences, args.json)
    return FAILED if answer.incomplete else 0


@dataclass(frozen=True)
class _Answer:
    document: dict[str, object]
    sentences: list[str]
    incomplete: bool = False


@dataclass(frozen=True)
class _Slot:
    engine: Engine
    judge: Judge


class _Command:
    def __init__(self, args: argparse.Namespace, chosen: Settings, store: Store) -> None:
        self._args, self._chosen, self._store = args, chosen, store
        self._slots: dict[str, _Slot] = {}

    def run(self) -> _Answer:
        args = self._args
        if args.finish or args.abandon:
            change, dropped = self._work().finish() if args.finish else self._work().abandon()
            document = {**_shown(change), "dropped": dropped}
            return self._answer(change, document, [f"{dropped} templates dropped."])
        if args.switch or args.roll_back or args.to:
            to = self._load()
            work = self._work()
            if args.switch or args.roll_back:
                self._refuse_another(to, work.current())
                step = work.switch if args.switch else work.roll_back
                return self._filled(*step(leave_behind=args.leave_behind), knowingly=True)
            return self._filled(*work.fill(to), knowingly=False)
        return self._status()

    def _refuse_another(self, to: str, change: ModelChange) -> None:
        if self._args.to and to != change.to_model_id:
            raise ModelChangeError(f"the change that is open is to {change.to_model_id}, --to names {to}")

    def _load(self) -> str:
        """The engines of the settings and of `--to`; the model id of the last. Both are needed: either may lack a template."""
        second, to = self._chosen.next_model(), ""
        for slot in (self._chosen, *([] if second is None else [second])):
            self._add(slot)
        if self._args.to:
            to = self._add(self._of_pack(self._args.to))
        return to

    def _add(self, slot: Settings) -> str:
        engine = load_engine(slot.engine, model_pack=slot.model_pack)
        card = calibrated(slot, engine.card)
        self._slots.setdefault(card.model_id, _Slot(engine, Judge(card, thresholds_of(slot, card))))
        return card.model_id

    def _of_pack(self, name: str) -> Settings:
        """Its thresholds are the engine's own, where no setting of the second model says otherwise."""
        own: dict[str, object] = {"next_engine": "offline", "next_model_pack": None}
        if name != "offline":
            folder = Path(name)
            installed = self._chosen.models_dir / name
            own = {"next_engine": "insightface", "next_model_pack": folder if folder.is_dir() else installed}
        slot = self._chosen.model_copy(update=own).next_model()
        assert slot is not None  # noqa: S101 - an engine was just named
        return slot

    def _work(self) -> ReEmbed:
        engines = {model_id: slot.engine for model_id, slot in self._slots.items()}
        holder = new_holder(self._chosen.instance)
        return ReEmbed(self._store, engines, holder=holder, workers=self._args.workers, bar=_Bar())

    def _filled(self, change: ModelChange, filled: Filled, *, knowingly: bool) -> _Answer:
        without = sorted(filled.without)
        report = self._report(change)
        document = {**_shown(change), "made": filled.made, "without_template": without}
        document["comparison"] = None if report is None else report.document()
        said = [f"{filled.made} templates made."]
        if without:
            said += [f"{len(without)} samples have no template, and none can be made of them:", *_ids(without)]
        said += [] if report is None else _told(report)
        return self._answer(change, document, said, incomplete=bool(without) and not knowingly)

    def _report(self, change: ModelChange) -> Report | None:
        """None where one of the two is not loaded here."""
        old, new = self._slots.get(change.from_model_id), self._slots.get(change.to_model_id)
        return None if old is None or new is None else compare(self._store, old.judge, new.judge)

    def _status(self) -> _Answer:
        with self._store.read() as session:
            change = model_change.latest(self._store, session)
            if change is None:
                in_force = self._store.gallery(session).model_id
                return _Answer({"state": None, "in_force": in_force}, [f"The model is {in_force}; it was never changed."])
            other = change.from_model_id if change.state == ChangeState.switched else change.to_model_id
            missing = 0 if change.closed_at else missing_templates.count(self._store, session, other)
        said = [] if change.closed_at else [f"{missing} samples have no template of {other}."]
        return self._answer(change, {**_shown(change), "missing": missing}, said)

    def _answer(self, change: ModelChange, document: dict[str, object], said: list[str], *, incomplete: bool = False) -> _Answer:
        then = NEXT[ChangeState(change.state)]
        heading = f"{change.from_model_id} → {change.to_model_id}: {str(change.state).replace('_', ' ')}."
        return _Answer({**document, "next": then.removeprefix("Next: ")}, [heading, *said, then], incomplete)


class _Bar:
    """A progress bar on a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="template", disable=None, leave=False)

    def begin(self, total: int) -> None:
        self._bar.reset(total=total)

    def advance(self, count: int) -> None:
        self._bar.update(count)


def _refuse_other_schema(store: Store) -> None:
    state = store.schema_state()
    if not state.ok:
        raise ModelChangeError(state.sentence)


def _shown(change: ModelChange) -> dict[str, object]:
    return {
        "id": change.id,
        "state": change.state,
        "from": change.from_model_id,
        "to": change.to_model_id,
        "in_force": change.to_model_id if change.state in (ChangeState.switched, ChangeState.finished) else change.from_model_id,
        "filled": change.filled,
        "left_behind": change.left_behind,
    }


def _told(report: Report) -> list[str]:
    lines = [
        f"Known pairs at the review thresholds {report.old_threshold:g} (old) and {report.new_threshold:g} (new):",
        f"  {'':<10}{'both':>8}{'old only':>10}{'new only':>10}{'neither':>10}{'not comparable':>16}",
    ]
    for known, row in report.table.items():
        counts = [row.get(judged, 0) for judged in ("both", "old_only", "new_only", "neither", "not_comparable")]
        lines.append("  {:<10}{:>8}{:>10}{:>10}{:>10}{:>16}".format(known, *counts))
    if report.agreement is not None:
        lines.append(f"  The models agree on {report.agreement:.1%} of them.")
    if report.changed:
        lines += ["Judged differently:", *_ids([f"{pair} ({known}, {judged})" for pair, known, judged in report.changed])]
    return lines


def _ids(ids: Sequence[str]) -> list[str]:
    listed = list(ids)
    more = len(listed) - SHOWN
    return [f"  {one}" for one in listed[:SHOWN]] + ([f"  … and {more} more: --json lists all"] if more > 0 else [])


def _say(document: dict[str, object], sentences: list[str], as_json: bool) -> None:
    print(json.dumps(document, indent=2) if as_json else "\n".join(sentences))

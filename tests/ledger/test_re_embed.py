"""`re-embed` beside the ledger: what is missing is made from crops, whatever interrupts it; who cannot be made is named."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlmodel import func, select

from backend import wire
from backend.enrolment import Newcomer
from backend.faces.engine import Face, ModelCard, Pixels, Vector
from backend.re_embed import BATCH, DROP, ReEmbed, WouldBeLeftBehind
from backend.store.model_change import ModelChangeError
from backend.store.tables import ChangeState, Template
from tests.ledger.conftest import whole
from tests.ledger.world import CARD, CLIENT, Node, People, World, face

NEW = replace(CARD, model_id="synthetic-cosine-64-newer")
STEP = 4
FACELESS = 0
"""the place whose picture shows no face"""


class ShadesOfGrey:
    """An engine to which a person is a shade of grey: what it embeds is planted, by place. Black shows nobody."""

    def __init__(self, card: ModelCard, people: Sequence[Vector]) -> None:
        self._card, self._people = card, people

    @property
    def card(self) -> ModelCard:
        return self._card

    def detect(self, image: Pixels) -> list[Face]:
        height, width = image.shape[:2]
        points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32) * (width, height)
        seen = Face((0.0, 0.0, float(width), float(height)), points.astype(np.float32), 0.9)
        return [] if self._place(image) == FACELESS else [seen]

    def embed(self, image: Pixels, face: Face) -> Vector:
        return self._people[self._place(image)]

    def _place(self, image: Pixels) -> int:
        return round(float(image.mean()) / STEP)


def crop(place: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (64, 64), (place * STEP,) * 3).save(sink, "PNG")
    return sink.getvalue()


class KilledAfter:
    """A bar at whose n-th step the process ends."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def begin(self, total: int) -> None: ...

    def advance(self, count: int) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    with whole(World(tmp_path, database_url=database_url, beside=(NEW,)).create()) as made:
        yield made


@pytest.fixture
def both(world: World) -> Node:
    return world.node(cards=(CARD, NEW))


@pytest.fixture
def vectors(people: People) -> list[Vector]:
    return people.strangers(60)


def run(node: Node, vectors: Sequence[Vector], bar: KilledAfter | None = None) -> ReEmbed:
    engines = {card.model_id: ShadesOfGrey(card, vectors) for card in (CARD, NEW)}
    return ReEmbed(node.store, engines, holder="command", bar=bar)


def enrol(node: Node, vectors: Sequence[Vector], places: Sequence[int], *, model_id: str = CARD.model_id) -> list[wire.Enrolment]:
    faces = [face(vectors[place], crop(place), model_id) for place in places]
    return [node.enrolments.enrol([one], caller=CLIENT).answer for one in faces]


def count(node: Node, model_id: str) -> int:
    with node.store.read() as session:
        return session.exec(select(func.count()).select_from(Template).where(Template.model_id == model_id)).one()


def test_everybody_is_made_again_and_found_after_the_switch_and_after_the_way_back(both: Node, vectors: list[Vector]) -> None:
    first, *_ = enrol(both, vectors, range(1, 5))
    command = run(both, vectors)
    change, filled = command.fill(NEW.model_id)
    assert (change.state, filled.made, change.filled, filled.without) == (ChangeState.filling, 4, 4, {})
    change, _ = command.switch()
    assert change.state == ChangeState.switched
    again, newcomer = enrol(both, vectors, [1, 9], model_id=NEW.model_id)
    assert [one.subject_id for one in again.duplicates] == [first.subject_id]
    change, filled = command.roll_back()
    assert (change.state, filled.made) == (ChangeState.rolled_back, 2)
    (last,) = enrol(both, vectors, [9])
    assert [one.subject_id for one in last.duplicates] == [newcomer.subject_id]


def test_a_run_that_was_killed_is_gone_on_with(both: Node, vectors: list[Vector]) -> None:
    everybody = BATCH + 10
    enrol(both, vectors, range(1, everybody + 1))
    with pytest.raises(KeyboardInterrupt):
        run(both, vectors, KilledAfter(1)).fill(NEW.model_id)
    assert count(both, NEW.model_id) == BATCH
    _, filled = run(both, vectors).fill(NEW.model_id)
    assert filled.made == 10
    assert run(both, vectors).fill(NEW.model_id)[1].made == 0


def test_a_switch_makes_what_came_since_the_filling(both: Node, vectors: list[Vector]) -> None:
    command = run(both, vectors)
    command.fill(NEW.model_id)
    enrol(both, vectors, [1, 2])
    _, filled = command.switch()
    assert filled.made == 2


def test_who_would_be_left_behind_stops_the_switch_until_that_is_meant(both: Node, vectors: list[Vector]) -> None:
    (faceless, _) = enrol(both, vectors, [FACELESS, 1])
    command = run(both, vectors)
    _, filled = command.fill(NEW.model_id)
    assert list(filled.without) == faceless.sample_ids
    with pytest.raises(WouldBeLeftBehind) as refused:
        command.switch()
    assert refused.value.sample_ids == faceless.sample_ids
    change, _ = command.switch(leave_behind=True)
    assert (change.state, change.left_behind) == (ChangeState.switched, 1)


def test_without_stored_crops_everybody_would_be_left_behind(world: World, both: Node, vectors: list[Vector]) -> None:
    node = world.node(store_images=False)
    (one,) = enrol(node, vectors, [1])
    _, filled = run(both, vectors).fill(NEW.model_id)
    assert list(filled.without) == one.sample_ids


@pytest.mark.parametrize("step", ["finish", "abandon"])
def test_what_was_given_up_is_dropped_to_its_end_also_by_a_second_run(both: Node, vectors: list[Vector], step: str) -> None:
    people = [Newcomer([face(vectors[place], crop(place))] * 2) for place in range(1, 60)]
    both.enrolments.enrol_all(people, caller=CLIENT)
    command = run(both, vectors)
    command.fill(NEW.model_id)
    if step == "finish":
        command.switch()
    gone, kept = (CARD, NEW) if step == "finish" else (NEW, CARD)
    everybody = count(both, gone.model_id)
    assert everybody > DROP
    killed = run(both, vectors, KilledAfter(1))
    with pytest.raises(KeyboardInterrupt):
        getattr(killed, step)()
    assert 0 < count(both, gone.model_id) < everybody
    change, dropped = getattr(run(both, vectors), step)()
    assert change.state == (ChangeState.finished if step == "finish" else ChangeState.abandoned)
    assert dropped == everybody - DROP
    assert (count(both, gone.model_id), count(both, kept.model_id)) == (0, everybody)


def test_the_steps_say_what_comes_first(both: Node, vectors: list[Vector]) -> None:
    command = run(both, vectors)
    with pytest.raises(ModelChangeError, match="begin one with --to"):
        command.switch()
    command.fill(NEW.model_id)
    with pytest.raises(ModelChangeError, match="only what was switched"):
        command.roll_back()
    with pytest.raises(ModelChangeError, match="--switch comes first"):
        command.finish()
    command.switch()
    with pytest.raises(ModelChangeError, match="--roll-back comes first"):
        command.abandon()


def test_a_model_whose_engine_is_not_loaded_is_named(both: Node, vectors: list[Vector]) -> None:
    enrol(both, vectors, [1])
    lacking = ReEmbed(both.store, {}, holder="command")
    with pytest.raises(ModelChangeError, match="its engine is not loaded"):
        lacking.fill(NEW.model_id)

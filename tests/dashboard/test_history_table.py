"""What happened to a subject in words, and the quality of its samples by component."""

from __future__ import annotations

from datetime import UTC

from backend import wire
from dashboard.tables import history
from dashboard.tables import samples as table
from tests.dashboard import samples
from tests.dashboard import samples_people as people


def test_the_newest_stands_first_with_its_distance() -> None:
    subject = samples.subject(1)
    rows = history.rows(history.of_record(subject), samples.now().timestamp(), UTC)
    assert [what for _, what, _ in rows] == ["sample 1 added", "enrolled"]
    assert rows[0][0].endswith("(1 d ago)")


def test_an_event_without_words_keeps_its_code_and_a_person_is_named() -> None:
    events = people.trail(("subject.patch", {"fields": ["retain_until"]}), ("subject.dance", {})).items
    told = history.of_trail(events, {})
    assert [one.what for one in told] == ["changed: retain until", "subject.dance"]
    assert {one.who for one in told} == {"grace"}


def test_a_key_goes_by_its_name_where_it_may_be_read_and_else_by_the_end_of_its_id() -> None:
    key = "key_01a2190af58775ac8ba6aa1ed8f82a70"
    events = [people.trail(("subject.enrol", {})).items[0].model_copy(update={"actor": actor}) for actor in (key, "system")]
    assert [one.who for one in history.of_trail(events, {key: "turnstile-1"})] == ["turnstile-1 (key)", "system"]
    assert [one.who for one in history.of_trail(events, {})] == ["key…f82a70", "system"]


def test_a_decision_that_was_undone_says_so_and_merges_nothing() -> None:
    decision = people.merged_case().decisions[0]
    undone = people.merged_case(decisions=[decision.model_copy(update={"undone": True})])
    (told,) = history.of_cases([], [undone])
    assert told.what == "decided: same person (undone since) (case_00000001)"
    assert history.merging(undone) is None
    standing = history.merging(people.merged_case())
    assert standing is not None
    assert standing.id == decision.id


def test_a_case_that_was_opened_again_or_decided_otherwise_merges_nothing() -> None:
    decision = people.merged_case().decisions[0]
    later = decision.model_copy(update={"id": "dec_2", "verdict": wire.Verdict.different})
    assert history.merging(people.merged_case(state="open")) is None
    assert history.merging(people.merged_case(decisions=[decision, later])) is None


def test_the_worst_component_of_any_sample_stands_first() -> None:
    good, poor = samples.subject(1).samples[0], samples.subject(2).samples[0]
    poor = poor.model_copy(update={"quality": wire.Quality(overall=20, components={"HeadPoseYaw": 12})})
    heads, rows = table.by_component([good, poor])
    assert heads == ["Component", "Sample 1", "Sample 2"]
    assert rows[0] == ["Head pose yaw", "–", "12"]
    assert rows[-1] == ["Sharpness", "82", "–"]
    assert table.by_component([]) == (["Component"], [])

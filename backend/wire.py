"""What the backend's HTTP API says and hears: pydantic models only, shared with every client.

Requests refuse unknown fields; clients ignore unknown fields of answers. Times are UTC, RFC 3339.
Scores are on the engine's own documented scale (cosine, or 1 - distance for the offline engine): never a percentage.
"""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Base64Encoder,
    BaseModel,
    ConfigDict,
    EncodedBytes,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Answer, Generic[Item]):
    """One page of a list. `total` is exact up to 10,000; beyond that `total_is` says `at_least`."""

    items: list[Item]
    next: str | None = None
    total: int
    total_is: Literal["exact", "at_least"] = "exact"


class Problem(Answer):
    """RFC 9457 problem document (`application/problem+json`); `detail` says what to change."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = Field(None, description="The request's id (X-Request-ID).")
    errors: list[dict[str, Any]] | None = Field(None, description="Field by field, where the request's form is wrong.")


# --- images and faces ---------------------------------------------------------------------------------------------


class _Base64(Base64Encoder):
    """Python's own decoder leaves out what it does not know: of a URL-safe text or a data URI it would make other bytes."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return b64decode(data.translate(None, b"\r\n") if b"\n" in data else data, validate=True)
        except ValueError:
            raise PydanticCustomError(
                "base64_decode", "Send the file's bytes in standard base64 (+ and /), without a `data:` prefix"
            ) from None


Image = Annotated[
    bytes,
    EncodedBytes(encoder=_Base64),
    Field(description="JPEG, PNG, WebP or BMP, base64. Bytes only: never a path or a URL."),
]
ExternalId = Annotated[str, Field(min_length=1, max_length=200)]
Metadata = dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=1000)]]


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
RetainUntil = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    Field(description="When the subject is erased by itself; with a time zone, in the future. Null: the service's own period."),
]


class Box(Answer):
    """Pixels of the upright image (EXIF orientation applied)."""

    x: float
    y: float
    width: float
    height: float


class QualityReason(Answer):
    code: str = Field(description="Rekognition's reason names, e.g. LOW_SHARPNESS.")
    advice: str = Field(description="One sentence that a person in front of a camera can follow.")


class Quality(Answer):
    """Components named after ISO/IEC 29794-5 (OFIQ), each 0 (worst) to 100."""

    overall: int
    components: dict[str, int]
    reasons: list[QualityReason] = []


class Liveness(Answer):
    """A passive look at one still picture: a signal against prints and screens, no proof that somebody is there.

    It decides nothing here; how often it errs (APCER, BPCER of ISO/IEC 30107-3) is for each site to measure.
    """

    status: Literal["judged", "not_judged"]
    score: float | None = Field(description="The model's own probability that the face is live, 0 to 1; null: not judged.")
    threshold: float
    live: bool | None = Field(description="Whether the score reached the threshold; null: not judged.")
    advice: str | None = Field(None, description="What the person can do, where the picture could not be judged.")
    model_id: str


class DetectedFace(Answer):
    box: Box
    landmarks: list[tuple[float, float]] = Field(description="Left eye, right eye, nose, left and right mouth corner, as seen.")
    confidence: float
    quality: Quality
    liveness: Liveness | None = Field(None, description="Null where the service has no model for it (BACKEND_LIVENESS_MODEL).")


class Detection(Answer):
    faces: list[DetectedFace]
    width: int
    height: int
    model_id: str


class DetectRequest(Request):
    image: Image


# --- subjects -----------------------------------------------------------------------------------------------------


class OnDuplicate(StrEnum):
    flag = "flag"
    reject = "reject"


class FaceChoice(StrEnum):
    only = "only"
    largest = "largest"


class SubjectState(StrEnum):
    pending = "pending"
    active = "active"
    rejected = "rejected"
    merged = "merged"


class EnrolRequest(Request):
    images: list[Image] = Field(min_length=1)
    external_id: ExternalId | None = None
    metadata: Metadata = {}
    on_duplicate: OnDuplicate = OnDuplicate.flag
    face: FaceChoice = FaceChoice.only
    retain_until: RetainUntil | None = None


class BatchSubject(EnrolRequest):
    idempotency_key: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Stands for this subject alone: a batch that is cut otherwise, or sent again, enrols nobody twice."
        " Without it, the batch's Idempotency-Key and the place in the batch.",
    )


class EnrolBatchRequest(Request):
    subjects: list[BatchSubject] = Field(min_length=1)


class AddSampleRequest(Request):
    images: list[Image] = Field(min_length=1)
    face: FaceChoice = FaceChoice.only


class SubjectPatch(Request):
    external_id: ExternalId | None = None
    metadata: Metadata | None = None
    retain_until: RetainUntil | None = None


class Sample(Answer):
    id: str
    created_at: AwareDatetime
    quality: Quality
    image: str | None = Field(None, description="Path of the face crop, for reviewers; null where images are not stored.")
    landmarks: list[tuple[float, float]] | None = Field(
        None,
        description="Left eye, right eye, nose, left and right mouth corner in pixels of the crop, so that two faces can be laid"
        " over each other; given in cases alone, else null.",
    )


class Subject(Answer):
    id: str
    gallery_id: str
    external_id: str | None
    metadata: dict[str, str]
    state: SubjectState
    merged_into: str | None = Field(None, description="The survivor, when a decision merged this subject away.")
    merged: list[str] = Field([], description="Subjects that were merged into this one.")
    retain_until: AwareDatetime | None = Field(
        None, description="When it is erased by itself, with all that were merged into it; null: the service's own period holds."
    )
    samples: list[Sample]
    version: int
    created_at: AwareDatetime


class DuplicateCandidate(Answer):
    """One pair that reached the review threshold."""

    subject_id: str
    sample_id: str
    score: float
    band: Literal["review", "certain"]


class Enrolment(Answer):
    """The answer to an enrolment; 201, or 409 with `state` rejected."""

    subject_id: str
    state: SubjectState
    external_id: str | None = None
    sample_ids: list[str]
    duplicates: list[DuplicateCandidate]
    case_id: str | None = Field(None, description="The review case that holds these pairs.")
    seq: int = Field(description="Give it as `min_seq` to a search that must see this enrolment.")
    review_threshold: float
    expected_fpir: float | None = Field(
        None, description="Chance of any false flag at that threshold and this gallery's size; null: see `expected_fpir_reason`."
    )
    expected_fpir_reason: str | None = None
    model_id: str
    quality: list[Quality] = []


class EnrolResult(Answer):
    """What became of one subject of a batch: as if it had been sent by itself, with that `status`."""

    status: int = Field(description="201 enrolled, 409 with `enrolment` rejected as a certain duplicate, else that of `problem`.")
    enrolment: Enrolment | None = None
    problem: Problem | None = None


class EnrolBatch(Answer):
    results: list[EnrolResult] = Field(description="One for each subject, in the order in which they were sent.")


# --- recognition --------------------------------------------------------------------------------------------------


class VerifyRequest(Request):
    """A probe image against a subject (all its samples; the best counts), or against a reference image."""

    image: Image
    subject_id: str | None = None
    reference_image: Image | None = None
    threshold: float | None = None

    @model_validator(mode="after")
    def one_reference(self) -> VerifyRequest:
        if (self.subject_id is None) == (self.reference_image is None):
            raise ValueError("give either subject_id or reference_image")
        return self


class Verification(Answer):
    score: float
    threshold: float
    decision: Literal["match", "non_match"]
    expected_fmr: float | None = Field(
        description="Expected false match rate of one comparison at the threshold; null where no calibration supports it."
    )
    expected_fmr_reason: str | None = None
    faces_in_image: int
    faces_in_reference: int | None = None
    sample_id: str | None = Field(None, description="The subject's sample that scored best.")
    samples_compared: int | None = Field(
        None, description="How many samples of the subject, and of records merged with it, the image was compared with."
    )
    expected_fmr_of_all: float | None = Field(
        None, description="Chance that somebody else reaches the threshold with any of them; null as `expected_fmr`."
    )
    model_id: str
    quality: Quality | None = Field(None, description="Of the face that was compared: a poor one explains a low score.")
    liveness: Liveness | None = Field(None, description="Of the same face; it takes no part in the decision.")


class IdentifyRequest(Request):
    image: Image
    threshold: float | None = None
    limit: int = Field(10, ge=1, le=100)
    min_seq: int | None = Field(None, ge=0)


class Candidate(Answer):
    subject_id: str
    external_id: str | None
    sample_id: str
    score: float
    rank: int


class FaceCandidates(Answer):
    face: DetectedFace
    candidates: list[Candidate]


class Identification(Answer):
    """Candidates per face, best first; an empty list is the answer "nobody above the threshold"."""

    faces: list[FaceCandidates]
    threshold: float
    expected_fpir: float | None = Field(
        description="Chance of any false candidate at this gallery size; null where no calibration supports it."
    )
    expected_fpir_reason: str | None = None
    gallery_size: int
    seq: int
    model_id: str


# --- the review queue ---------------------------------------------------------------------------------------------


class CaseState(StrEnum):
    open = "open"
    claimed = "claimed"
    second_review = "second_review"
    arbitration = "arbitration"
    resolved = "resolved"


class Verdict(StrEnum):
    same = "same"
    different = "different"
    twin_or_relative = "twin_or_relative"
    poor_image = "poor_image"
    suspected_fraud = "suspected_fraud"
    unsure = "unsure"


CaseSource = Literal["enrolment", "scan", "manual"]
"""What opened a case; `manual`: a person did."""
ReasonCode = Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")]
Note = Annotated[str, Field(max_length=2000)]


class CaseSide(Answer):
    subject_id: str
    sample_id: str


class DistributionPlace(Answer):
    """Where a score lies among comparisons that were counted once, on photographs whose people are known."""

    share: float = Field(description="Of those comparisons, 0 to 1.")
    bound: Literal["measured", "at_most", "at_least"] = Field(
        description="`at_most`, `at_least`: so few were counted that nothing smaller (or larger) than `share` is claimed."
    )
    trials: int | None = Field(description="How many were counted; null where only their rates are known.")
    source: str = Field(description="On what they were counted.")


class CasePair(Answer):
    """The evidence for one pair: what was in force when it was found, and where it stands today.

    What is said of today is null where this service compares by another model than the pair's.
    """

    a: CaseSide
    b: CaseSide
    score: float
    threshold: float
    band: Literal["review", "certain"]
    gallery_size: int
    expected_fpir: float | None = Field(None, description="At `threshold` and `gallery_size`: chance of any false candidate.")
    calibration_id: str | None = Field(None, description="By which `expected_fpir` was computed; null where there was none.")
    model_id: str
    found_at: AwareDatetime
    margin: float | None = Field(
        None,
        description="How far the score lies above the best one of the same newcomer (the later record) with any other person"
        " who was found in the same search; below 0 where somebody else scored higher. Null for a picture that does not match"
        " its own person, and where it is not known: the pair is of an older release, or its best pictures were erased since.",
    )
    margin_at_least: bool | None = Field(
        None,
        description="True: nobody else reached the threshold of the search, which sees nothing below it, so `margin` is the"
        " distance to that threshold and the real one is larger or equal. Null where `margin` is.",
    )
    quality_a: Quality | None = Field(None, description="Of the picture of `a`; null where it was erased or refused.")
    quality_b: Quality | None = Field(None, description="Of the picture of `b`; null where it was erased or refused.")
    threshold_now: float | None = Field(
        None,
        description="The review threshold in force; for a picture that does not match its own person the verification"
        " threshold, below which it is held.",
    )
    still_flagged: bool | None = Field(None, description="Whether it would be flagged today, by `threshold_now`.")
    gallery_size_now: int | None = Field(None, description="Active templates today.")
    expected_fpir_now: float | None = Field(
        None,
        description="As `expected_fpir`, at `threshold_now` and `gallery_size_now`; null also without a calibration, and for a"
        " picture that does not match its own person.",
    )
    expected_fpir_at_score: float | None = Field(
        None,
        description="Chance that any of today's templates reaches this score and is of another person; no more than that where"
        " the bound of `impostor_above` is `at_most`. Null as `expected_fpir_now`, and below the calibration's first score.",
    )
    expected_fmr: float | None = Field(
        None, description="Chance that two different people reach this score; null also where no calibration says."
    )
    expected_fmr_reason: str | None = Field(None, description="Why `expected_fmr` is null for a pair of the present model.")
    impostor_above: DistributionPlace | None = Field(
        None, description="Pairs of different people that reach this score; null also where no calibration says."
    )
    genuine_below: DistributionPlace | None = Field(
        None, description="Pairs of one person that score lower; null also where none were counted for this model."
    )


class MatrixEntry(Answer):
    """Two members of a case. `score` is of the pair that was flagged, else of the best two active templates of today."""

    a: str
    b: str
    score: float | None = Field(description="Null where nothing of one of them can be compared by today's model.")
    flagged: bool = Field(description="Whether `pairs` has these two.")
    relation: Literal["pair", "below", "above", "distinct", "merged", "unknown"] = Field(
        description="What is known of them, the first that holds: `merged` (one person by a decision), `distinct` (decided to"
        " be different people), `pair` (flagged), `below` the review threshold in force, `above` it and never flagged,"
        " `unknown` (no score)."
    )


class AskedPair(Answer):
    """Two that a person put before reviewers, whatever they scored."""

    subject_ids: tuple[str, str]
    asked_by: str
    asked_by_name: str
    asked_at: AwareDatetime
    note: str | None = None
    overrides_different: bool = Field(False, description="Although it had been decided that they are different people.")


class Lease(Answer):
    holder: str
    holder_name: str
    until: AwareDatetime


class DecisionRecord(Answer):
    id: str
    verdict: Verdict | Literal["undo"]
    survivor_id: str | None = None
    reason: str | None = Field(None, description="One of the site's own codes under the verdict.")
    note: str | None = None
    bulk_id: str | None = Field(None, description="The bulk that it was part of.")
    actor: str
    actor_name: str
    at: AwareDatetime
    undone: bool = False


class Case(Answer):
    id: str
    state: CaseState
    version: int
    priority: float
    score: float = Field(description="The highest score of its pairs.")
    source: CaseSource
    created_at: AwareDatetime
    band: Literal["review", "certain"] | None = Field(None, description="Of its best pair; null from an older release.")
    due_at: AwareDatetime | None = Field(
        None, description="Counted from when it was opened, or opened again, by band. Null once it is resolved."
    )
    overdue: bool | None = Field(None, description="Null from an older release.")
    lease: Lease | None = None
    subjects: list[Subject]
    pairs: list[CasePair]
    asked: list[AskedPair] = []
    decisions: list[DecisionRecord] = []
    matrix: list[MatrixEntry] | None = Field(
        None,
        description="Every two members, flagged or not; given by `GET /v1/duplicates/{case_id}` alone, else null.",
    )
    matrix_left_out: int | None = Field(
        None, description="Members without entries: the matrix is of those in the best pairs, 12 at most. Null without a matrix."
    )


class CaseSummary(Answer):
    id: str
    state: CaseState
    version: int
    priority: float
    score: float
    source: CaseSource
    created_at: AwareDatetime
    band: Literal["review", "certain"] | None = Field(None, description="Of its best pair; null from an older release.")
    due_at: AwareDatetime | None = Field(
        None, description="Counted from when it was opened, or opened again, by band. Null once it is resolved."
    )
    overdue: bool | None = Field(None, description="Null from an older release.")
    lease: Lease | None = None
    subject_ids: list[str]


class ClaimRequest(Request):
    version: int | None = Field(None, description="Refuse (409) when the case changed since this version.")


class DecideRequest(Request):
    verdict: Verdict
    version: int
    survivor_id: str | None = Field(None, description="Which subject remains; needed for `same`.")
    reason: ReasonCode | None = Field(None, description="One of those that `GET /v1/duplicates/codes` lists for the verdict.")
    note: str | None = Field(None, max_length=2000)


class UndoRequest(Request):
    version: int
    note: str | None = Field(None, max_length=2000)


class OfferedVerdict(Answer):
    verdict: Verdict
    reasons: list[str] = Field(description="The site's own codes; one of them may be given as `reason`.")
    needs_note_or_reason: bool


class ReviewCodes(Answer):
    verdicts: list[OfferedVerdict] = Field(description="What may be decided here; another verdict or reason is refused (422).")


class TogetherRequest(Request):
    """Records of people who may be one, although no search put them together."""

    subject_ids: list[str] = Field(min_length=2, max_length=10)
    note: Note | None = Field(None, description="For the reviewers; kept encrypted, and erased with either of the two.")
    override_different: bool = Field(
        False, description="Ask again about two who were decided to be different people; for supervisors."
    )

    @field_validator("subject_ids")
    @classmethod
    def each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a subject twice")
        return value


class BulkPreviewRequest(Request):
    """Which cases to look for: open ones that nobody holds, whose two pictures are identical."""

    source: CaseSource | None = None
    created_from: Moment | None = None
    created_until: Moment | None = None
    limit: int = Field(100, ge=1, le=200)


class BulkItem(Request):
    case_id: str
    version: int
    survivor_id: str


class LeftOutReason(StrEnum):
    """`several_members`: more than two records, or one that was merged away. `not_identical`: another picture, or one that
    carries no mark by which identical ones are told (none is stored, or it is from before there was one)."""

    several_members = "several_members"
    not_identical = "not_identical"
    held = "held"
    needs_second_review = "needs_second_review"
    judged_before = "judged_before"
    decided_different = "decided_different"


class LeftOut(Answer):
    case_id: str
    reason: LeftOutReason


class BulkPreview(Answer):
    """What `POST /v1/duplicates/bulk` would decide. Nothing is reserved: a case that changes until then is left alone."""

    bulk_id: str = Field(description="Give it with the items: the request may then be repeated, and is carried out once.")
    items: list[BulkItem] = Field(description="Send these, or those of them that are to be decided.")
    verdict: Literal[Verdict.same] = Verdict.same
    survivor_rule: Literal["oldest_record"] = Field(
        "oldest_record", description="Of two records the one that was enrolled first."
    )
    found: int = Field(description="Open cases whose score is that of identical pictures, looked at for this answer.")
    more: bool = Field(description="Whether there are more than were looked at: decide these, and ask again.")
    left_out: list[LeftOut] = Field(description="Those of them that are not among `items`.")


class BulkRequest(Request):
    bulk_id: str = Field(pattern="^bulk_[0-9a-f]{32}$", description="Of the preview.")
    items: list[BulkItem] = Field(min_length=1, max_length=200)
    verdict: Literal[Verdict.same] = Verdict.same
    reason: ReasonCode | None = None
    note: Note | None = None

    @field_validator("items")
    @classmethod
    def each_case_once(cls, value: list[BulkItem]) -> list[BulkItem]:
        if len({item.case_id for item in value}) < len(value):
            raise ValueError("names a case twice")
        return value


class BulkOutcome(StrEnum):
    """`changed`: the case, its claim, its members or the survivor are not what the preview had; `gone`: no such case."""

    decided = "decided"
    changed = "changed"
    held = "held"
    needs_second_review = "needs_second_review"
    conflict = "conflict"
    gone = "gone"


class BulkResult(Answer):
    case_id: str
    outcome: BulkOutcome
    version: int | None = Field(None, description="Of the case after the decision.")


class Bulk(Answer):
    bulk_id: str
    results: list[BulkResult] = Field(description="One for each item, in the order in which they were sent.")


class UndoneOutcome(StrEnum):
    """`not_last`: something was decided on the case since; `undone_before`: by somebody else, or by itself.

    `rested_on`: a later merge makes the same records one, and has to be undone first.
    """

    undone = "undone"
    undone_before = "undone_before"
    not_last = "not_last"
    rested_on = "rested_on"
    held = "held"
    gone = "gone"


class UndoneResult(Answer):
    case_id: str = Field(description="Where the question stands now: an older case, where that one was joined with it.")
    outcome: UndoneOutcome


class BulkUndone(Answer):
    bulk_id: str
    results: list[UndoneResult] = Field(description="One for each case that the bulk decided.")


class ReviewerNumbers(Answer):
    actor: str
    actor_name: str
    decisions: int = Field(description="Undone ones too; undos are not counted.")
    verdicts: dict[Verdict, int]
    median_s: float | None = Field(description="Seconds from claim to decision; null where none was claimed before.")
    overturned: int = Field(description="Taken back by somebody else, or settled otherwise by a supervisor.")


class Agreement(Answer):
    cases: int = Field(description="Judged by two, neither knowing of the other.")
    agreed: int = Field(description="With the same verdict and, for `same`, the same survivor.")
    kappa: float | None = Field(description="Cohen's kappa of the verdicts; null where chance alone would explain all of them.")


class ReviewNumbers(Answer):
    """Decisions that are hidden until a second one is in are in none of these numbers."""

    since: AwareDatetime
    opened: int
    resolved: int
    reviewers: list[ReviewerNumbers] = Field(description="Who decided most, first.")
    agreement: Agreement


# --- calibration and thresholds -----------------------------------------------------------------------------------


class RatePoint(Answer):
    score: float
    fmr: float


class ScoreCount(Answer):
    score: float
    count: int = Field(description="Comparisons of one person with himself that score lower.")


class GenuineCounts(Answer):
    trials: int
    source: str
    below: list[ScoreCount]


class Calibration(Answer):
    id: str
    source: str = Field(description="On what it was counted.")
    trials: int | None = Field(description="Comparisons of different people; null where only their rates are known.")
    supported_fmr: float = Field(description="The smallest false match rate that these trials can back at 95 %.")
    supported_from: float = Field(description="Below this score nothing is claimed.")
    points: list[RatePoint]
    genuine: GenuineCounts | None = Field(description="Null where too few pairs of one person were counted.")


class Thresholds(Answer):
    verification: float
    review: float
    certain: float
    review_set_by: Literal["setting", "target", "engine"] = Field(
        description="BACKEND_REVIEW_THRESHOLD, BACKEND_TARGET_FPIR with the gallery's size, or what the engine states of itself."
    )


class Target(Answer):
    """What a target FPIR comes to at the gallery's present size."""

    fpir: float
    threshold: float
    supported: bool = Field(description="Whether the target is met there; if not, `limited_by` says why.")
    limited_by: Literal["calibration", "certain_threshold"] | None = None
    needed_fmr: float
    expected_fpir: float


class Expectation(Answer):
    """What to expect of a threshold at the gallery's present size; null, with `reason`, outside the calibration's support."""

    threshold: float
    expected_fmr: float | None
    expected_fpir: float | None = Field(description="Chance of any false flag at one enrolment.")
    expected_false_flags_per_day: float | None = Field(description="expected_fpir x searches_per_day.")
    reason: str | None


class ErrorRate(Answer):
    """Errors among comparisons that were counted, and between which limits the true rate lies.

    The limits take comparisons as independent; they share photographs, so the true ones are wider.
    """

    least: int = Field(description="Errors seen, at least.")
    most: int = Field(
        description="Errors seen, at most. More than `least` where the threshold lies between two scores at which they were"
        " counted, or where so few were seen that no smaller rate is claimed."
    )
    trials: int
    low: float = Field(description="Lower 95 % limit (Clopper-Pearson) with the fewest of them; 0 where none was seen.")
    high: float = Field(description="Upper 95 % limit with the most of them; 3 in as many trials where none was seen.")


class ErrorRates(Answer):
    """What the calibration counted at one threshold. Null where nothing was counted there."""

    threshold: float
    false_match: ErrorRate | None = Field(description="Pairs of different people that reach it.")
    expected_fmr: float | None = Field(description="Given too where only rates are known; between counted scores log-linear.")
    false_non_match: ErrorRate | None = Field(description="Pairs of one person that score lower.")


class RatesInForce(Answer):
    verification: ErrorRates
    review: ErrorRates
    certain: ErrorRates


class CalibrationInForce(Answer):
    """Of the replica that answers: others may have other settings while they are being changed."""

    model_id: str
    calibration: Calibration | None
    thresholds: Thresholds
    target: Target | None = Field(description="Null without BACKEND_TARGET_FPIR.")
    gallery_size: int = Field(description="Active templates.")
    searches_per_day: float = Field(description="Pictures enrolled in the last 7 days, divided by 7.")
    expected: Expectation = Field(description="At the review threshold.")
    rates: RatesInForce | None = Field(None, description="At each threshold in force; null from an older release.")


class SimulateRequest(Request):
    """A threshold, or a target FPIR that comes to one."""

    threshold: float | None = Field(None, allow_inf_nan=False)
    target_fpir: float | None = Field(None, gt=0, lt=1)

    @model_validator(mode="after")
    def one_of_them(self) -> SimulateRequest:
        if (self.threshold is None) == (self.target_fpir is None):
            raise ValueError("give either threshold or target_fpir")
        return self


class Share(Answer):
    count: int
    of: int
    low: float = Field(description="Lower 95 % limit of the share (Clopper-Pearson).")
    high: float


class ScoreBin(Answer):
    """Resolved pairs with a score from `score_from` to less than `score_to`; `same`: the share that shows one person."""

    score_from: float
    score_to: float
    same: Share


class ResolvedPairs(Answer):
    """Pairs that a search flagged and reviewers resolved, by decisions that are applied and stand. Each counts by itself."""

    same_flagged: int
    same_missed: int = Field(description="Pairs of one person that this threshold would not have flagged.")
    different_flagged: int
    different_spared: int = Field(description="Pairs of different people that this threshold would not have flagged.")
    missed_at_least: Share | None = Field(
        description="Share of known pairs of one person that would be missed; the true share is no smaller. Null without any."
    )
    by_score: list[ScoreBin]


class WaitingPairs(Answer):
    cases: int = Field(description="Not resolved, and opened by a search.")
    cases_spared: int = Field(description="Those of them that this threshold would not have opened.")
    pairs: int
    pairs_spared: int


class Simulation(Answer):
    """What another review threshold would have done. Nothing is changed."""

    now: Expectation
    then: Expectation
    rates_now: ErrorRates | None = Field(None, description="As the calibration counted them; null from an older release.")
    rates_then: ErrorRates | None = None
    target: Target | None = Field(description="Where the request named a target.")
    gallery_size: int
    searches_per_day: float
    resolved: ResolvedPairs
    waiting: WaitingPairs
    unknown_below: float | None = Field(
        description="Below this score pairs were never looked for, so what this threshold would flag there is unknown without a"
        " scan; null where nothing is unknown."
    )
    caveats: list[str]


# --- this replica -------------------------------------------------------------------------------------------------


class CheckStatus(StrEnum):
    ok = "ok"
    warn = "warn"
    fail = "fail"


class Check(Answer):
    status: CheckStatus
    latency_ms: float
    detail: str


class Health(Answer):
    status: Literal["healthy", "unhealthy"]
    service: Literal["face-auth-system"] = "face-auth-system"
    version: str
    timestamp: str


class Live(Answer):
    status: Literal["alive"] = "alive"
    timestamp: str


class Ready(Answer):
    """`checks`: database, schema, model, gallery, inference, resources, draining. `reason`: the first that fails, then warns."""

    status: Literal["ready", "not_ready"]
    instance: str
    version: str
    timestamp: str
    ever_ready: bool = Field(description="Whether this process was ready at any time since its start.")
    reason: str | None = None
    checks: dict[str, Check]


class OtherModel(Answer):
    """A model that a replica has loaded beside the one in force, and its index of the gallery."""

    model_id: str
    engine: str
    gallery_size: int
    gallery_memory_bytes: int
    seq: int
    lag_s: float
    checksum: str
    problem: str | None = Field(description="Why it is not followed: it is not the gallery's, and no change of model is open.")


class Self(Answer):
    """What this replica is; the monitor compares these across the fleet."""

    instance: str
    version: str
    model_id: str
    engine: str
    verification_threshold: float
    review_threshold: float
    certain_threshold: float
    gallery_size: int
    gallery_memory_bytes: int | None = None
    """planned for a gallery of this size; None of a replica that is older than this field"""
    gallery_memory_limit_bytes: int | None = None
    """allowed"""
    seq: int
    lag_s: float
    checksum: str
    draining: bool
    started_at: AwareDatetime
    pid: int
    other_models: list[OtherModel] = Field(default=[], description="Beside the one in force, for a change of model.")


class Stats(Answer):
    subjects: int
    samples: int
    cases: dict[CaseState, int]
    oldest_open_case_at: datetime | None
    decisions: int
    overdue: int | None = Field(None, description="Cases that wait for longer than they should; null from an older release.")
    oldest_waiting_case_at: AwareDatetime | None = Field(
        None, description="When the oldest case that is not resolved was opened, or opened again; null where none waits."
    )
    opened_last_hour: int | None = Field(None, description="Cases, those opened again too; null from an older release.")
    resolved_last_hour: int | None = Field(None, description="Cases; null from an older release.")


class Scope(StrEnum):
    """Roles of people and scopes of keys; `client` and `viewer` are for keys alone."""

    viewer = "viewer"
    client = "client"
    operator = "operator"
    reviewer = "reviewer"
    supervisor = "supervisor"
    admin = "admin"


RATE = "Requests per minute that each replica hears from this key; 0: any number; null: BACKEND_KEY_RATE_PER_MINUTE."
DEMO = "Requests of this key that carry `X-Synthetic` count in no rate limit."
Rate = Annotated[int, Field(ge=0, le=100_000)]


class KeyRequest(Request):
    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(min_length=1)
    expires_at: AwareDatetime | None = None
    rate_per_minute: Rate | None = Field(None, description=RATE)
    synthetic: bool = Field(False, description=DEMO)


class KeyChange(Request):
    """Only what is named is changed."""

    rate_per_minute: Rate | None = Field(None, description=RATE)
    synthetic: bool = Field(False, description=DEMO)


class Key(Answer):
    id: str
    name: str
    scopes: list[Scope]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    last_used_at: AwareDatetime | None = None
    rate_per_minute: int | None = Field(None, description=RATE)
    synthetic: bool = Field(False, description=DEMO)


class NewKey(Key):
    secret: str = Field(description="Shown once; only its hash is kept.")


class ScanState(StrEnum):
    waiting = "waiting"
    running = "running"
    done = "done"
    cancelled = "cancelled"
    failed = "failed"


class ScanRequest(Request):
    threshold: float | None = Field(
        None, description="Score from which two people are a pair; default: the review threshold. Not below half of it."
    )
    whole: bool = Field(False, description="Compare everybody, not only those enrolled since the last finished scan.")
    reopen_distinct: bool = Field(
        False, description="Ask again about pairs that were decided to be different people. Compares everybody."
    )
    dry_run: bool = Field(False, description="Count what would be found and reopened, and change nothing.")


class Scan(Answer):
    id: str
    state: ScanState
    threshold: float
    model_id: str
    since_seq: int = Field(description="Templates after this are compared with everything older; 0: all.")
    up_to_seq: int
    templates_total: int
    templates_done: int
    pairs_found: int
    reopened: int = Field(description="Pairs among them that had been decided to be different people.")
    reopen_distinct: bool
    dry_run: bool
    rate_per_s: float | None = Field(description="Templates per second of work; null before the first block.")
    estimated_s: float | None = Field(description="Seconds left at this rate; null before the first block and after the end.")
    problem: str | None
    started_by: str | None = Field(None, description="Who asked for it: the id of a person or a key; null for an old scan.")
    started_by_name: str | None = None
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class ScanPlan(Answer):
    """What a scan with these options would have to do if it were started now."""

    threshold: float
    since_seq: int = Field(description="Templates after this would be compared with everything older; 0: all.")
    up_to_seq: int
    templates_total: int
    templates_older: int = Field(description="With these, too, each of them is compared.")
    comparisons: int
    estimated_s: float | None = Field(description="By the pace of the last finished scan; null where there is none.")


class AuditEvent(Answer):
    seq: int
    position: int | None = Field(description="Place in the chain; null for the second or two until it is sealed.")
    at: AwareDatetime
    actor: str
    action: str
    object_id: str | None
    detail: dict[str, Any]
    hash: str | None


class AuditHead(Answer):
    """Kept elsewhere (a log, the monitor), it shows whether the chain's end was cut off or written anew."""

    position: int = Field(description="Place of the last sealed event; 0 for none.")
    hash: str = Field(description="Covers this event and, through the one before it, all others.")
    at: AwareDatetime | None = Field(description="When that event was written.")
    waiting: int = Field(description="Events that are written and not sealed yet.")


class AuditVerification(Answer):
    """`GET /v1/audit/verification`: what was followed of the chain with this request."""

    holds: bool = Field(description="Each event followed so far is as it was written, and follows from the one before it.")
    position: int = Field(description="Place of the last event that was followed; 0 for none.")
    hash: str
    checked: int = Field(description="Events that this request followed.")
    broken_at: int | None = Field(description="The first place where the chain does not hold.")
    why: str | None
    restores: list[int] = Field(description="Places of the events, among these, that say that a backup was restored.")
    head: AuditHead
    next: str | None = Field(description="The cursor to go on with; null at the end of the chain, or where it is broken.")

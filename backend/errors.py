"""Every error that the backend's API answers with, as a tree; `routes` turns each into an RFC 9457 document.

    FaceAuthError
    ├── BadRequest 400            EmptyImage · CorruptImage · BadCursor · InvalidThreshold · InvalidJson
    │                             InvalidForm · NulInText
    ├── Unauthenticated 401
    ├── Forbidden 403             PersonNeeded
    ├── NotFound 404              SubjectNotFound · SampleNotFound · CaseNotFound · KeyNotFound · NothingToReview
    │                             ScanNotFound · BulkNotFound
    ├── MethodNotAllowed 405
    ├── Conflict 409              VersionConflict · LeaseHeld · LeaseLost · ExternalIdTaken · CaseJoined · CaseStateConflict
    │                             ScanUnderWay · ScanStateConflict
    │                             LastSample · SamePerson · DecidedDifferent · NotComparable
    │                             KeyStateConflict · SecretGone · Stopping
    ├── PreconditionFailed 412
    ├── TooLarge 413              ImageTooLarge · TooManyPixels · TooManyImages · TooManySubjects · BodyTooLarge
    ├── UnsupportedImage 415      AnimatedImage
    ├── UnsupportedMediaType 415
    ├── Unprocessable 422         NoFace · SeveralFaces · TooManyFaces · FaceTooSmall · PoorQuality · QualityTooLow
    │                             IdempotencyKeyReused · SurvivorNotInCase · ModelMismatch · InvalidRequest · RetainUntilPast
    │                             SeqUnknown · VerdictNotOffered · UnknownReason · NoteRequired · NoCalibration
    ├── RateLimited 429
    └── Unavailable 503           Overloaded · DeadlineExceeded · DatabaseAway · GalleryBehind · NotReady

Each builds its own message, which says what to change, and carries no image, name, external id or metadata.
The code of a class is its name in snake_case; its problem type is ``urn:face-auth:problem:<code>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class FaceAuthError(Exception):
    """Root of the tree; `status` is the HTTP status, `title` the sentence for the class, the message the one for the case."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "The service failed"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.title)

    @property
    def detail(self) -> str:
        return str(self)

    @classmethod
    def code(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class BadRequest(FaceAuthError):
    status, title = 400, "The request cannot be understood"


class EmptyImage(BadRequest):
    title = "The image has no bytes: send the file's content"


class CorruptImage(BadRequest):
    title = "The image is damaged or incomplete: send the whole original file"


class BadCursor(BadRequest):
    title = "The cursor is not one of ours: start again without `cursor`"


class InvalidThreshold(BadRequest):
    title = "The threshold is outside the engine's scale"


class InvalidJson(BadRequest):
    title = "The body is not JSON: send an object as the API's description has it"


class InvalidForm(BadRequest):
    title = "The body is not a form: send multipart/form-data, each part with its name"


class NulInText(BadRequest):
    title = "A text has a NUL character (U+0000), which the database cannot hold: take it out"


class Unauthenticated(FaceAuthError):
    status, title = 401, "Send `Authorization: Bearer` with a valid API key or token"


class Forbidden(FaceAuthError):
    status, title = 403, "This key or person may not do that"


class PersonNeeded(Forbidden):
    title = "Claims and decisions need a signed-in person: no API key may decide"


class NotFound(FaceAuthError):
    status, title = 404, "There is nothing here"


class SubjectNotFound(NotFound):
    title = "No such subject in this gallery"


class SampleNotFound(NotFound):
    title = "No such sample of this subject"


class CaseNotFound(NotFound):
    title = "No such case"


class KeyNotFound(NotFound):
    title = "No such API key"


class NothingToReview(NotFound):
    title = "No case is waiting for you"


class ScanNotFound(NotFound):
    title = "No such scan"


class BulkNotFound(NotFound):
    title = "No such bulk decision"


class MethodNotAllowed(FaceAuthError):
    status, title = 405, "This path does not answer that method"


class Conflict(FaceAuthError):
    status, title = 409, "The request conflicts with what is stored"


class VersionConflict(Conflict):
    title = "It changed meanwhile: read it again and repeat with its present version"


class LeaseHeld(Conflict):
    title = "Somebody else holds this case"


class LeaseLost(Conflict):
    title = "Your claim on this case has ended: claim it again"


class ExternalIdTaken(Conflict):
    title = "Another subject has this external_id"


class CaseJoined(Conflict):
    """The case was joined with an older one; `into` is the id of the one that lives on."""

    title = "This case was joined with another one"

    def __init__(self, into: str) -> None:
        super().__init__(f"This case was joined with {into}: go on there")
        self.into = into


class CaseStateConflict(Conflict):
    title = "The case is not in a state that allows this"


class LastSample(Conflict):
    title = "The only active sample of a subject cannot be erased"

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"This is the only active sample of {subject_id}: erase that subject, or add another sample first")


class ScanUnderWay(Conflict):
    title = "Another scan is under way"


class ScanStateConflict(Conflict):
    title = "Not possible in the state in which the scan is"


class SamePerson(Conflict):
    title = "Two of these are the same person already"

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} are the same person already: there is nothing to decide")


class DecidedDifferent(Conflict):
    """`case` is the id of the one in which it was decided."""

    title = "Two of these were decided to be different people"

    def __init__(self, one: str, other: str, case: str) -> None:
        super().__init__(
            f"{one} and {other} were decided to be different people in {case}: undo that decision,"
            " or let a supervisor ask with override_different"
        )
        self.case = case


class NotComparable(Conflict):
    title = "One of these has no active sample that it could be compared by"

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"{subject_id} has no active sample that it could be compared by: it was rejected, or its samples are held"
        )


class KeyStateConflict(Conflict):
    title = "This API key is revoked or has expired: make a new one"


class SecretGone(Conflict):
    title = "This request made an API key before, whose secret cannot be shown again"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"This request made {key_id} before, and its secret cannot be shown again: revoke it and make another")


class Stopping(Conflict):
    title = "This replica was told to end and cannot be put back: the one that is started in its place serves"


class PreconditionFailed(FaceAuthError):
    status, title = 412, "If-Match does not fit the present version: read it again"


class TooLarge(FaceAuthError):
    status, title = 413, "The request is too large"


class ImageTooLarge(TooLarge):
    title = "The image has too many bytes: send a smaller file"


class TooManyPixels(TooLarge):
    title = "The image has too many pixels: send it scaled down"


class TooManyImages(TooLarge):
    title = "Too many images in one request"


class TooManySubjects(TooLarge):
    title = "Too many subjects in one batch: split it"


class BodyTooLarge(TooLarge):
    title = "The request's body is too large: send fewer or smaller images"


class UnsupportedImage(FaceAuthError):
    status, title = 415, "Send JPEG, PNG, WebP or BMP"


class AnimatedImage(UnsupportedImage):
    title = "The image has several frames: send a single one"


class UnsupportedMediaType(FaceAuthError):
    status, title = 415, "Send the body as application/json, images also as multipart/form-data"


class Unprocessable(FaceAuthError):
    status, title = 422, "The request is well-formed but cannot be carried out"


class NoFace(Unprocessable):
    title = "No face was found: send a photograph with one upright, uncovered face"


class SeveralFaces(Unprocessable):
    title = "Several faces were found: crop the image to one, or send face=largest"


class TooManyFaces(Unprocessable):
    title = "Too many faces in one image"


class FaceTooSmall(Unprocessable):
    title = "The face is too small: move closer or send a larger image"


class PoorQuality(Unprocessable):
    title = "The image is not good enough to be enrolled"


@dataclass(frozen=True)
class Shortfall:
    """A component of a face's quality below what is asked, both 0 to 100, and what to do about it."""

    component: str
    value: int
    least: int
    advice: str


class QualityTooLow(Unprocessable):
    """`errors`: one for each component that falls short."""

    title = "The face's quality is below what this gallery asks"

    def __init__(self, short: Sequence[Shortfall]) -> None:
        said = [f"{one.component} is {one.value}, at least {one.least} is asked." for one in short]
        super().__init__(" ".join(dict.fromkeys([*said, *(one.advice for one in short)])))
        self.errors = [
            {"field": one.component, "problem": one.advice, "type": "quality_too_low", "value": one.value, "least": one.least}
            for one in short
        ]


class IdempotencyKeyReused(Unprocessable):
    title = "This Idempotency-Key was used with another body: use a new key"


class SurvivorNotInCase(Unprocessable):
    title = "survivor_id must be one of the case's subjects"


class ModelMismatch(Unprocessable):
    title = "Templates of different models cannot be compared"


class NoCalibration(Unprocessable):
    title = "No calibration is known for this recogniser, so a target gives no threshold: name a threshold instead"


class RetainUntilPast(Unprocessable):
    title = "retain_until lies in the past: give a later time, or erase the subject"


class SeqUnknown(Unprocessable):
    title = "min_seq is higher than any number given out here: give the seq of an enrolment's answer"


class VerdictNotOffered(Unprocessable):
    title = "This verdict is not offered here"


class UnknownReason(Unprocessable):
    title = "The reason is none of those that are configured for the verdict"


class NoteRequired(Unprocessable):
    title = "This verdict needs a note or a reason"


class InvalidRequest(Unprocessable):
    """`errors`: field by field what is wrong with the request's form, without what was sent."""

    title = "The request's form is wrong: see `errors`"

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.errors = [dict(error) for error in errors]


class RateLimited(FaceAuthError):
    """A key made more requests within a minute than it may; one is heard again after `retry_after_s` seconds."""

    status, title = 429, "This key makes too many requests: wait as long as Retry-After says"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(FaceAuthError):
    """503: try again after `retry_after_s` seconds."""

    status, title = 503, "The service cannot answer at the moment"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    title = "Every inference slot is busy and the queue is full"


class DeadlineExceeded(Unavailable):
    title = "The request took longer than its deadline"


class DatabaseAway(Unavailable):
    title = "The database does not answer"


class GalleryBehind(Unavailable):
    title = "This replica's gallery has not reached min_seq yet"


class NotReady(Unavailable):
    title = "This replica is not ready"

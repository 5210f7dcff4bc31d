"""POST /explain: its request and its answer."""

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas import MAX_ID_CHARACTERS, Answer, AnsweredBy, CleanText


class ExplainRequest(BaseModel):
    """A text, and an image of the gallery that may have been found by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: CleanText = Field(description="A sentence.", examples=["two dogs on a beach"])
    id: str = Field(max_length=MAX_ID_CHARACTERS, description="The id of an image of the gallery.")


class Grid(Answer):
    """The cells that the model divides the image into; row 0 is the uppermost, column 0 the leftmost."""

    rows: int
    columns: int


class Region(Answer):
    """The part of the upright image that the model saw, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float


class ExplainedWord(Answer):
    """A word of the text, and its cosine similarity with each cell of the image."""

    word: str
    start: int = Field(description="Where it begins in the text, in characters (Unicode code points).")
    end: int = Field(description="Where it ends in the text; the character there is no longer part of it.")
    cosines: list[list[float]] = Field(description="By rows and columns of the grid, each from -1 to 1.")


class ExplainAnswer(AnsweredBy):
    """How much each word of a text agrees with each cell of an image."""

    text: str = Field(description="The text after cleaning.")
    id: str
    score: float = Field(description="The cosine similarity of text and image, as a search has it.")
    probability: float | None = Field(
        description="How probable it is that the text belongs to the image; null for a model that is not calibrated."
    )
    grid: Grid
    region: Region
    words: list[ExplainedWord]
    truncated: bool = Field(description="Whether the text was too long: the words behind its end are missing.")
    took_ms: float = Field(description="Milliseconds from the arrival of the request to the answer.")

"""What a server has answered: the text, what it took, and why an answer is not a description."""

import json
import re
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from model.descriptions.usage import Usage
from model.errors import EmptyText
from model.preprocess import clean_text

MAX_CHARACTERS = 4000
_SHOWN = 200

# How models begin where they decline; what they decline with differs too much to be listed.
_REFUSAL = re.compile(
    r"(i['’]?m|i am)( (very|so|really|truly))? (sorry|afraid|unable|not able)\b"
    r"|(sorry|apologies)\b[,.!]? (but )?(i|as)\b"
    r"|i apologi[sz]e\b"
    r"|i (can['’]?t|cannot|can not|won['’]?t|will not)\b"
    r"|unfortunately,? i\b"
    r"|as an ai\b",
    re.IGNORECASE,
)


class Unusable(Exception):
    """Why an answer is not a description; its text is the reason."""


class _Message(BaseModel):
    content: Any = None
    refusal: Any = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None


class Completion(BaseModel):
    """The parts of a chat completion that are read; the rest of it is ignored."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def parse_completion(body: bytes) -> Completion:
    """The answer of a chat request; raises Unusable for anything else."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise Unusable(f"the answer is not a chat completion: {place}: {problem['msg'].lower()}"[:_SHOWN]) from None


def usage_of(completion: Completion) -> Usage | None:
    """The tokens that it took; None where the server does not say."""
    if not isinstance(completion.usage, dict):
        return None
    counts = [count for name in Usage._fields if type(count := completion.usage.get(name)) is int and count >= 0]
    return Usage(*counts) if len(counts) == len(Usage._fields) else None


def text_of(completion: Completion) -> str:
    """The text without control characters and white space around it; raises Unusable where it is not a description."""
    choice = completion.choices[0]
    if choice.message.refusal:
        raise Unusable(f"the model refused: {shown(choice.message.refusal)}")
    if choice.finish_reason == "content_filter":
        raise Unusable("the server's content filter stopped the answer")
    if choice.finish_reason == "length":
        raise Unusable("the answer was cut off at the limit of tokens; raise --max-tokens")
    if choice.message.content is None:
        raise Unusable("the answer is empty")
    if not isinstance(choice.message.content, str):
        raise Unusable("the answer is not text")
    if (length := len(choice.message.content)) > MAX_CHARACTERS:
        raise Unusable(f"the answer has {length} characters, more than {MAX_CHARACTERS}; lower --max-tokens")
    try:
        text = clean_text(choice.message.content)
    except EmptyText:
        raise Unusable("the answer is empty") from None
    if _REFUSAL.match(text):
        raise Unusable(f"the model refused: {shown(text)}")
    return text


def error_of(body: bytes) -> tuple[str, str]:
    """The code, often empty, and the message of a refusal: OpenAI's shape, that of Ollama or FastAPI, or plain text."""
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return "", shown(text)
    if not isinstance(content, dict):
        return "", shown(text)
    error = content.get("error", content)
    if not isinstance(error, dict):
        return "", shown(error)
    return str(error.get("code") or ""), shown(error.get("message") or error.get("detail") or text)


def shown(said: object) -> str:
    """What a server has said, fit for one line of a terminal."""
    printable = "".join(char if char.isprintable() else " " for char in str(said))
    return " ".join(printable.split())[:_SHOWN]

"""Generations in GraphQL: what a model is asked for, its answer while it comes, and what the answer was found to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import strawberry

from graphook import rules
from graphook.completion import Failure
from graphook.transformation import Webhook
from models.generation import Draft
from models.task import Task as Row
from models.task import TaskStatus, TaskType
from schema.errors import UserError
from schema.fields import enumeration, field, required, value
from schema.scalars import JSON, Int64
from schema.types.transformation import TransformationSimulation

PROMPT = rules.Text(1, 8000, blank=False)
MAX_EXAMPLES = 20

enumeration(
    Failure,
    "Why a generation failed. Values may be added.",
    {
        Failure.NOT_CONFIGURED: "The workers have no model configured.",
        Failure.MODEL_UNREACHABLE: "The model's server cannot be reached.",
        Failure.MODEL_UNAUTHORIZED: "The model's server does not accept the operator's key.",
        Failure.MODEL_NOT_FOUND: "The model's server does not have the model.",
        Failure.MODEL_RATE_LIMITED: "The model's server has had enough requests for now.",
        Failure.MODEL_REFUSED: "The model's server refused the request.",
        Failure.MODEL_FAILED: "The model's server failed.",
        Failure.MODEL_REDIRECTED: "The model's server answered with a redirect, which is not followed.",
        Failure.MODEL_MALFORMED: "The model's server sent something that cannot be read.",
        Failure.MODEL_CUT: "The answer broke off.",
        Failure.MODEL_TIMEOUT: "The model was silent, or not done in time.",
        Failure.ANSWER_EMPTY: "The answer is empty.",
        Failure.ANSWER_TOO_LONG: "The answer is too long.",
        Failure.ANSWER_INVALID: "The answer cannot be used, nor could the one after it.",
        Failure.INPUT_GONE: "The event type or the payload is gone.",
        Failure.INPUT_TOO_LARGE: "There is too much to tell the model.",
        Failure.INTERRUPTED: "Workers died while the model answered.",
        Failure.CANCELED: "It was canceled.",
    },
    name="GenerationErrorCode",
)


@strawberry.input(description="What a transformation should do (component GenerateIn).")
class GenerateIn:
    prompt: str = required("What the transformation should do, in words.", PROMPT)
    event_type: str | None = value(
        "The event type that it is for, unless there is a message: the model is told its description, newest schema and example.",
        rules.EVENT_TYPE,
        default=None,
    )
    app_id: strawberry.ID | None = value("The application (id or uid) of the message, if there is one.", default=None)
    message_id: strawberry.ID | None = value(
        "A message (id or event id) to take the event type from and, with includePayload, the example.", default=None
    )
    include_payload: bool = value(
        "Whether the message's real payload is given to the model, in place of an example. It leaves the service, and what comes of it is kept.",
        default=False,
        nullable=False,
    )


@strawberry.input(description="What a JSON Schema should describe: words, examples or both.")
class EventTypeGenerateSchemaIn:
    prompt: str | None = value("What the payload holds, in words.", PROMPT, default=None)
    examples: list[JSON] | None = value("Payloads that fit the schema, at most 20. They are given to the model.", default=None)


@strawberry.type(description="A message of a completion (component CompletionMessage).")
class CompletionMessage:
    role: str = field("Who said it: assistant.")
    content: str = field("What was said. It is text by a machine: show it as text, whatever it looks like.")


@strawberry.type(description="One answer of a completion (component CompletionChoice).")
class CompletionChoice:
    finish_reason: str = field("Why it ended: stop, or length when it was cut at GRAPHOOK_LLM_MAX_TOKENS.")
    index: Int64 = field("Its number, from 0.")
    message: CompletionMessage = field("The answer.")


@strawberry.type(description="Why the generated code did not work.")
class GenerationTrialError:
    code: str = field(
        "SYNTAX, THREW, TIMEOUT, BAD_OUTPUT and the like, as attempts have them (transformation_syntax); NO_CODE when the answer holds no function handler, or OUTPUT_TOO_LARGE."
    )
    message: str = field("One sentence for a person.")


@strawberry.type(description="What the generated code made of the example when it was tried, without sending anything.")
class GenerationTrial:
    event_type: str = field("The event type that it was tried with.")
    payload: JSON | None = field(
        "The payload that it was given: the example of the event type, {} where there is none; null when it was a message's, which is not kept here."
    )
    simulation: TransformationSimulation | None = field("What would be sent; null when it failed.")
    error: GenerationTrialError | None = field("How it failed.")


@strawberry.type(description="Why a generation failed.")
class GenerationError:
    code: Failure = field("What kind of failure it is.")
    message: str = field("One sentence for a person.")
    retry_after: float | None = field("After how many seconds the model's server wants to be asked again, where it said so.")


@strawberry.type(
    description="Something that a model writes, as a background task (component GenerateOut). Nothing acts on it: a person looks at it and decides."
)
class Generation:
    id: strawberry.ID = field("Its id, that of its background task: qtask_ and 27 letters and digits.")
    task: TaskType = field("What is written: TEMPLATE_GENERATE or EVENT_TYPE_GENERATE_SCHEMA.")
    status: TaskStatus = field("How it stands.")
    content: str = field("The text of the first answer, as far as it has come.")
    choices: list[CompletionChoice] = field("The whole answers; empty until it is finished.")
    completion_id: str | None = field("The id that the model's server gave the completion.")
    object: str = field("What a completion is: chat.completion.")
    model: str = field("The model that answered; empty until it is finished.")
    created: Int64 = field("When the answer was made, in Unix seconds; until then, when it was asked for.")
    prompt_tokens: int | None = field("Tokens that the model was told, where its server counts them.")
    completion_tokens: int | None = field("Tokens that it answered.")
    code: str | None = field("The JavaScript of the answer to templateGenerate.")
    trial: GenerationTrial | None = field("What that code made of the example.")
    schema: JSON | None = field("The schema of the answer to eventTypeGenerateSchema: it is valid, and all examples fit it.")
    error: GenerationError | None = field("Why it failed.")
    created_at: datetime = field("When it was begun.")
    updated_at: datetime = field("When it last got on.")

    @classmethod
    def of(cls, row: Row) -> Self:
        data = row.data
        usage = data.get("usage", {})
        return cls(
            id=strawberry.ID(row.id),
            task=TaskType(row.type),
            status=TaskStatus(row.status),
            content=Draft.of_row(row).text,
            choices=[_choice(choice) for choice in data.get("choices", ())],
            completion_id=data.get("id"),
            object=data.get("object", "chat.completion"),
            model=data.get("model", ""),
            created=Int64(data.get("created", int(row.created_at.timestamp()))),
            prompt_tokens=usage.get("promptTokens"),
            completion_tokens=usage.get("completionTokens"),
            code=data.get("script"),
            trial=_trial(data["trial"]) if "trial" in data else None,
            schema=JSON(data["schema"]) if "schema" in data else None,
            error=_error(data) if "error" in data else None,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type(description="News of a generation.")
class GenerationEvent:
    cursor: str = field("Where it ends; give it as `after` to go on from here.")
    text: str = field("What is new of the text: append it.")
    restarted: bool = field("Whether the text begins anew, because the model was asked again: what was there before is void.")
    generation: Generation = field("The generation.")


@strawberry.type(description="What templateGenerate did.")
class TemplateGeneratePayload:
    generation: Generation | None = field("The generation that was begun, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was begun.", default_factory=list)


@strawberry.type(description="What eventTypeGenerateSchema did.")
class EventTypeGenerateSchemaPayload:
    generation: Generation | None = field("The generation that was begun, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was begun.", default_factory=list)


@strawberry.type(description="What generationCancel did.")
class GenerationCancelPayload:
    generation: Generation | None = field("The generation, which has ended.", default=None)
    errors: list[UserError] = field("Why it was not canceled.", default_factory=list)


def _choice(stored: Mapping[str, Any]) -> CompletionChoice:
    message = CompletionMessage(role=stored["message"]["role"], content=stored["message"]["content"])
    return CompletionChoice(finish_reason=stored["finishReason"], index=Int64(stored["index"]), message=message)


def _trial(stored: Mapping[str, Any]) -> GenerationTrial:
    made, error = stored.get("made"), stored.get("error")
    return GenerationTrial(
        event_type=stored["eventType"],
        payload=None if stored["payload"] is None else JSON(stored["payload"]),
        simulation=None if made is None else TransformationSimulation.of(_webhook(stored["eventType"], made)),
        error=None if error is None else GenerationTrialError(code=error["code"], message=error["message"]),
    )


def _webhook(event_type: str, stored: Mapping[str, Any]) -> Webhook:
    return Webhook(stored["method"], stored["url"], stored["payload"].encode(), event_type, stored["headers"], stored["cancel"])


def _error(data: Mapping[str, Any]) -> GenerationError:
    # A task that stumbled over a fault of ours has no code.
    code = Failure(data.get("code", Failure.INTERRUPTED))
    return GenerationError(code=code, message=data["error"], retry_after=data.get("retryAfter"))

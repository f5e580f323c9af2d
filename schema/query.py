"""Every query of the API, one line an operation."""

from __future__ import annotations

import strawberry

import resolvers.access
import resolvers.application
import resolvers.attempt
import resolvers.delivery
import resolvers.endpoint
import resolvers.environment
import resolvers.event_type
import resolvers.generation
import resolvers.inbound
import resolvers.integration
import resolvers.message
import resolvers.message_stream
import resolvers.node
import resolvers.operational
import resolvers.statistic
import resolvers.task
import resolvers.template
import resolvers.transformation
import resolvers.trial
from schema.connection import Connection, listing
from schema.fields import operation
from schema.node import Node
from schema.types.access import Whoami
from schema.types.application import Application
from schema.types.attempt import MessageAttempt
from schema.types.delivery import EndpointMessage, MessageDestination
from schema.types.endpoint import Endpoint, EndpointSecret
from schema.types.environment import Environment, EnvironmentSettings
from schema.types.event_type import EventType, RetrySchedule
from schema.types.generation import Generation
from schema.types.inbound import Inbound
from schema.types.integration import Integration, IntegrationKey
from schema.types.message import Message
from schema.types.message_stream import MessageStream
from schema.types.operational import OperationalEventType
from schema.types.statistic import ApplicationStats, AttemptStatistics, EndpointStats
from schema.types.task import BackgroundTask
from schema.types.template import Template
from schema.types.transformation import EndpointTransformation
from schema.types.trial import MessageDryRun, MessagePrecheck


@strawberry.type(description="What can be read.")
class Query:
    node: Node | None = operation(resolvers.node.get)
    nodes: list[Node | None] = operation(resolvers.node.many)

    application: Application | None = operation(resolvers.application.get)
    applications: Connection[Application] = listing(resolvers.application.page)

    endpoint: Endpoint | None = operation(resolvers.endpoint.get)
    endpoints: Connection[Endpoint] = listing(resolvers.endpoint.page)
    endpoint_messages: Connection[EndpointMessage] = listing(resolvers.delivery.page_of_endpoint)
    endpoint_secret: EndpointSecret = operation(resolvers.endpoint.secret)
    endpoint_transformation: EndpointTransformation = operation(resolvers.transformation.get)

    operational_endpoint: Endpoint | None = operation(resolvers.operational.get)
    operational_endpoints: Connection[Endpoint] = listing(resolvers.operational.page)
    operational_endpoint_secret: EndpointSecret = operation(resolvers.operational.secret)
    operational_event_types: list[OperationalEventType] = operation(resolvers.operational.types)
    application_stats: ApplicationStats = operation(resolvers.statistic.usage)
    applications_stats: Connection[ApplicationStats] = listing(resolvers.statistic.usages)
    application_attempt_stats: AttemptStatistics = operation(resolvers.statistic.of_application)
    endpoint_attempt_stats: AttemptStatistics = operation(resolvers.statistic.of_endpoint)
    endpoint_stats: EndpointStats = operation(resolvers.statistic.standing)

    environment_settings: EnvironmentSettings = operation(resolvers.environment.settings)
    environment_export: Environment = operation(resolvers.environment.export)

    event_type: EventType | None = operation(resolvers.event_type.get)
    event_types: Connection[EventType] = listing(resolvers.event_type.page)
    event_type_retry_schedule: RetrySchedule | None = operation(resolvers.event_type.retry_schedule)

    message: Message | None = operation(resolvers.message.get)
    messages: Connection[Message] = listing(resolvers.message.page)
    message_stream: MessageStream = operation(resolvers.message_stream.page)
    organisation_message_stream: MessageStream = operation(resolvers.message_stream.organisation_page)
    message_dry_run: Connection[MessageDryRun] = listing(resolvers.trial.dry_run)
    message_precheck: MessagePrecheck = operation(resolvers.trial.precheck)
    message_destinations: Connection[MessageDestination] = listing(resolvers.delivery.page)

    message_attempt: MessageAttempt | None = operation(resolvers.attempt.get)
    message_attempts: Connection[MessageAttempt] = listing(resolvers.attempt.page)

    background_task: BackgroundTask | None = operation(resolvers.task.get)
    background_tasks: Connection[BackgroundTask] = listing(resolvers.task.page)

    template: Template | None = operation(resolvers.template.get)
    templates: Connection[Template] = listing(resolvers.template.page)
    generation: Generation | None = operation(resolvers.generation.get)

    whoami: Whoami = operation(resolvers.access.whoami)

    integration: Integration | None = operation(resolvers.integration.get)
    integrations: Connection[Integration] = listing(resolvers.integration.page)
    integration_key: IntegrationKey = operation(resolvers.integration.key)

    inbound: Inbound | None = operation(resolvers.inbound.get)

"""Every mutation of the API, one line an operation."""

from __future__ import annotations

import strawberry

import resolvers.access
import resolvers.application
import resolvers.attempt
import resolvers.broadcast
import resolvers.cancel
import resolvers.endpoint
import resolvers.environment
import resolvers.event_catalogue
import resolvers.event_example
import resolvers.event_type
import resolvers.generation
import resolvers.inbound
import resolvers.integration
import resolvers.message
import resolvers.message_stream
import resolvers.oauth
import resolvers.operational
import resolvers.replay
import resolvers.statistic
import resolvers.template
import resolvers.transformation
import resolvers.trial
from schema.fields import operation
from schema.types.access import (
    AppPortalAccessCreatePayload,
    AppTokensExpireAllPayload,
    DashboardAccessCreatePayload,
    LogoutPayload,
    OneTimeTokenExchangePayload,
)
from schema.types.application import (
    ApplicationCreatePayload,
    ApplicationDeletePayload,
    ApplicationPatchPayload,
    ApplicationPurgeContentPayload,
    ApplicationUpdatePayload,
)
from schema.types.attempt import MessageAttemptExpungeContentPayload, MessageAttemptResendPayload
from schema.types.broadcast import MessageBroadcastPayload
from schema.types.endpoint import (
    EndpointCreatePayload,
    EndpointDeletePayload,
    EndpointPatchHeadersPayload,
    EndpointPatchPayload,
    EndpointRotateSecretPayload,
    EndpointUpdateHeadersPayload,
    EndpointUpdatePayload,
)
from schema.types.environment import EnvironmentImportPayload, EnvironmentUpdateSettingsPayload
from schema.types.event_catalogue import EventTypeExportOpenapiPayload, EventTypeImportOpenapiPayload
from schema.types.event_example import EndpointSendExamplePayload, EventTypeGenerateExamplePayload
from schema.types.event_type import (
    EventTypeCreatePayload,
    EventTypeDeletePayload,
    EventTypePatchPayload,
    EventTypeUpdatePayload,
    EventTypeUpdateRetrySchedulePayload,
)
from schema.types.generation import EventTypeGenerateSchemaPayload, GenerationCancelPayload, TemplateGeneratePayload
from schema.types.inbound import InboundRotateUrlPayload, InboundUpdatePayload
from schema.types.integration import (
    IntegrationCreatePayload,
    IntegrationDeletePayload,
    IntegrationRotateKeyPayload,
    IntegrationUpdatePayload,
)
from schema.types.message import (
    MessageCancelPayload,
    MessageCreateBatchPayload,
    MessageCreatePayload,
    MessageExpungeContentPayload,
    MessagesCancelPayload,
)
from schema.types.message_stream import MessageStreamCommitPayload, MessageStreamPollPayload, MessageStreamSeekPayload
from schema.types.oauth import (
    TemplateOauthDiscordPayload,
    TemplateOauthInstantiatePayload,
    TemplateOauthSlackPayload,
    TemplateOauthStartPayload,
)
from schema.types.operational import (
    OperationalEndpointCreatePayload,
    OperationalEndpointDeletePayload,
    OperationalEndpointPatchHeadersPayload,
    OperationalEndpointPatchPayload,
    OperationalEndpointRotateSecretPayload,
    OperationalEndpointUpdateHeadersPayload,
    OperationalEndpointUpdatePayload,
)
from schema.types.replay import EndpointBulkReplayPayload, EndpointRecoverPayload, EndpointReplayMissingPayload
from schema.types.statistic import UsageAggregateApplicationsPayload, UsageAggregateEventTypesPayload
from schema.types.template import (
    TemplateCreatePayload,
    TemplateDeletePayload,
    TemplateInstantiatePayload,
    TemplatePatchPayload,
    TemplateSimulatePayload,
    TemplateUpdatePayload,
)
from schema.types.transformation import EndpointPatchTransformationPayload, EndpointSimulateTransformationPayload
from schema.types.trial import MessageTestAttemptPayload


@strawberry.type(description="What can be changed. Expected failures are in the payloads, under `errors`.")
class Mutation:
    application_create: ApplicationCreatePayload | None = operation(resolvers.application.create)
    application_update: ApplicationUpdatePayload | None = operation(resolvers.application.update)
    application_patch: ApplicationPatchPayload | None = operation(resolvers.application.patch)
    application_delete: ApplicationDeletePayload | None = operation(resolvers.application.delete)
    application_purge_content: ApplicationPurgeContentPayload | None = operation(resolvers.cancel.purge_content)

    endpoint_create: EndpointCreatePayload | None = operation(resolvers.endpoint.create)
    endpoint_update: EndpointUpdatePayload | None = operation(resolvers.endpoint.update)
    endpoint_patch: EndpointPatchPayload | None = operation(resolvers.endpoint.patch)
    endpoint_delete: EndpointDeletePayload | None = operation(resolvers.endpoint.delete)
    endpoint_update_headers: EndpointUpdateHeadersPayload | None = operation(resolvers.endpoint.update_headers)
    endpoint_patch_headers: EndpointPatchHeadersPayload | None = operation(resolvers.endpoint.patch_headers)
    endpoint_rotate_secret: EndpointRotateSecretPayload | None = operation(resolvers.endpoint.rotate_secret)
    endpoint_patch_transformation: EndpointPatchTransformationPayload | None = operation(resolvers.transformation.patch)
    endpoint_simulate_transformation: EndpointSimulateTransformationPayload | None = operation(resolvers.transformation.simulate)
    endpoint_recover: EndpointRecoverPayload | None = operation(resolvers.replay.recover)
    endpoint_replay_missing: EndpointReplayMissingPayload | None = operation(resolvers.replay.replay_missing)
    endpoint_bulk_replay: EndpointBulkReplayPayload | None = operation(resolvers.replay.bulk_replay)
    endpoint_send_example: EndpointSendExamplePayload | None = operation(resolvers.event_example.send)

    operational_endpoint_create: OperationalEndpointCreatePayload | None = operation(resolvers.operational.create)
    operational_endpoint_update: OperationalEndpointUpdatePayload | None = operation(resolvers.operational.update)
    operational_endpoint_patch: OperationalEndpointPatchPayload | None = operation(resolvers.operational.patch)
    operational_endpoint_delete: OperationalEndpointDeletePayload | None = operation(resolvers.operational.delete)
    operational_endpoint_update_headers: OperationalEndpointUpdateHeadersPayload | None = operation(resolvers.operational.update_headers)
    operational_endpoint_patch_headers: OperationalEndpointPatchHeadersPayload | None = operation(resolvers.operational.patch_headers)
    operational_endpoint_rotate_secret: OperationalEndpointRotateSecretPayload | None = operation(resolvers.operational.rotate_secret)

    environment_update_settings: EnvironmentUpdateSettingsPayload | None = operation(resolvers.environment.update_settings)
    environment_import: EnvironmentImportPayload | None = operation(resolvers.environment.import_)

    event_type_create: EventTypeCreatePayload | None = operation(resolvers.event_type.create)
    event_type_update: EventTypeUpdatePayload | None = operation(resolvers.event_type.update)
    event_type_patch: EventTypePatchPayload | None = operation(resolvers.event_type.patch)
    event_type_import_openapi: EventTypeImportOpenapiPayload | None = operation(resolvers.event_catalogue.import_openapi)
    event_type_export_openapi: EventTypeExportOpenapiPayload | None = operation(resolvers.event_catalogue.export_openapi)
    event_type_generate_example: EventTypeGenerateExamplePayload | None = operation(resolvers.event_example.generate)
    event_type_generate_schema: EventTypeGenerateSchemaPayload | None = operation(resolvers.generation.schema)
    event_type_update_retry_schedule: EventTypeUpdateRetrySchedulePayload | None = operation(resolvers.event_type.update_retry_schedule)
    event_type_delete: EventTypeDeletePayload | None = operation(resolvers.event_type.delete)

    template_generate: TemplateGeneratePayload | None = operation(resolvers.generation.template)
    generation_cancel: GenerationCancelPayload | None = operation(resolvers.generation.cancel)

    message_create: MessageCreatePayload | None = operation(resolvers.message.create)
    message_create_batch: MessageCreateBatchPayload | None = operation(resolvers.message.create_batch)
    message_broadcast: MessageBroadcastPayload | None = operation(resolvers.broadcast.start)
    message_expunge_content: MessageExpungeContentPayload | None = operation(resolvers.message.expunge_content)
    message_cancel: MessageCancelPayload | None = operation(resolvers.cancel.message)
    messages_cancel: MessagesCancelPayload | None = operation(resolvers.cancel.messages)
    message_stream_poll: MessageStreamPollPayload | None = operation(resolvers.message_stream.poll)
    message_stream_commit: MessageStreamCommitPayload | None = operation(resolvers.message_stream.commit)
    message_stream_seek: MessageStreamSeekPayload | None = operation(resolvers.message_stream.seek)

    message_test_attempt: MessageTestAttemptPayload | None = operation(resolvers.trial.attempt)
    message_attempt_resend: MessageAttemptResendPayload | None = operation(resolvers.attempt.resend)
    message_attempt_expunge_content: MessageAttemptExpungeContentPayload | None = operation(resolvers.attempt.expunge_content)

    app_portal_access_create: AppPortalAccessCreatePayload | None = operation(resolvers.access.portal_access_create)
    app_tokens_expire_all: AppTokensExpireAllPayload | None = operation(resolvers.access.expire_all)
    dashboard_access_create: DashboardAccessCreatePayload | None = operation(
        resolvers.access.dashboard_access_create, deprecated="Use appPortalAccessCreate. Removed after 2027-12."
    )
    logout: LogoutPayload | None = operation(resolvers.access.logout)
    one_time_token_exchange: OneTimeTokenExchangePayload | None = operation(resolvers.access.exchange)

    integration_create: IntegrationCreatePayload | None = operation(resolvers.integration.create)
    integration_update: IntegrationUpdatePayload | None = operation(resolvers.integration.update)
    integration_delete: IntegrationDeletePayload | None = operation(resolvers.integration.delete)
    integration_rotate_key: IntegrationRotateKeyPayload | None = operation(resolvers.integration.rotate_key)

    inbound_rotate_url: InboundRotateUrlPayload | None = operation(resolvers.inbound.rotate_url)
    inbound_update: InboundUpdatePayload | None = operation(resolvers.inbound.update)

    template_create: TemplateCreatePayload | None = operation(resolvers.template.create)
    template_update: TemplateUpdatePayload | None = operation(resolvers.template.update)
    template_patch: TemplatePatchPayload | None = operation(resolvers.template.patch)
    template_delete: TemplateDeletePayload | None = operation(resolvers.template.delete)
    template_instantiate: TemplateInstantiatePayload | None = operation(resolvers.template.instantiate)
    template_simulate: TemplateSimulatePayload | None = operation(resolvers.template.simulate)
    template_oauth_start: TemplateOauthStartPayload | None = operation(resolvers.oauth.start)
    template_oauth_slack: TemplateOauthSlackPayload | None = operation(resolvers.oauth.slack)
    template_oauth_discord: TemplateOauthDiscordPayload | None = operation(resolvers.oauth.discord)
    template_oauth_instantiate: TemplateOauthInstantiatePayload | None = operation(resolvers.oauth.instantiate)

    usage_aggregate_applications: UsageAggregateApplicationsPayload | None = operation(resolvers.statistic.aggregate_applications)
    usage_aggregate_event_types: UsageAggregateEventTypesPayload | None = operation(resolvers.statistic.aggregate_event_types)

"""Operations that connect a channel of Slack or Discord by OAuth."""

from __future__ import annotations

import strawberry

from graphook import guarded_http, oauth
from graphook.auth import Scope
from graphook.errors import Conflict, InvalidInput, NotConfigured
from graphook.oauth import Exchange, Provider
from models import allowance, built_in_template
from models.application import Application
from models.endpoint import Endpoint
from models.event_type import EventType
from models.oauth_state import OauthProvider, OauthState
from models.template import Template
from resolvers.endpoint import OfTemplate, create_in, told
from resolvers.endpoint_values import require_room, url_policy
from resolvers.expected import mutation
from resolvers.template import check_variables
from schema.context import Info
from schema.fields import check
from schema.scalars import URL
from schema.types.endpoint import EndpointIn
from schema.types.oauth import (
    OauthAuthorization,
    OauthExchange,
    OauthPayloadIn,
    TemplateOauthDiscordPayload,
    TemplateOauthInstantiateIn,
    TemplateOauthInstantiatePayload,
    TemplateOauthSlackPayload,
    TemplateOauthStartIn,
    TemplateOauthStartPayload,
)

STEPS_PER_MINUTE = 60
# The scope that each provider is asked for, and where in its answer the webhook is, and within that the channel.
_WORDS = {
    OauthProvider.SLACK: ("incoming-webhook", "incoming_webhook", "channel"),
    OauthProvider.DISCORD: ("webhook.incoming", "webhook", "channel_id"),
}


@mutation(TemplateOauthStartPayload, Scope.MANAGE)
async def start(info: Info, input: TemplateOauthStartIn) -> TemplateOauthStartPayload:
    """Begin to connect a channel: where the person is asked whether they agree. The same token finishes it, within ten minutes, once."""
    check(input)
    caller = info.context.caller
    app_id = caller.app_id if input.app_id is None else str(input.app_id)
    if app_id is not None:
        app_id = (await Application.load(caller, app_id, ("input", "appId"))).id
    provider = await _provider(info, input.provider, input.redirect_uri)
    verifier = oauth.new_verifier() if provider.pkce else None
    state, expires_at = await OauthState.begin(caller, input.provider, input.redirect_uri, app_id=app_id, verifier=verifier)
    url = oauth.authorization_url(provider, input.redirect_uri, state, verifier)
    return TemplateOauthStartPayload(authorization=OauthAuthorization(url=URL(url), expires_at=expires_at))


@mutation(TemplateOauthSlackPayload, Scope.MANAGE)
async def slack(info: Info, input: OauthPayloadIn) -> TemplateOauthSlackPayload:
    """Exchange a code of Slack's for the URL of an incoming webhook. A code works once."""
    return TemplateOauthSlackPayload(oauth_exchange=_shown(await exchanged(info, OauthProvider.SLACK, input)))


@mutation(TemplateOauthDiscordPayload, Scope.MANAGE)
async def discord(info: Info, input: OauthPayloadIn) -> TemplateOauthDiscordPayload:
    """Exchange a code of Discord's for the URL of a webhook. A code works once."""
    return TemplateOauthDiscordPayload(oauth_exchange=_shown(await exchanged(info, OauthProvider.DISCORD, input)))


async def exchanged(info: Info, name: OauthProvider, input: OauthPayloadIn, app_id: str | None = None) -> Exchange:
    """What the provider answers to the code, once the state is used up. The URL of the webhook keeps to what URLs of endpoints do."""
    check(input)
    provider = await _provider(info, name, input.redirect_uri)
    verifier = await _verifier(info, name, input, app_id)
    policy, endpoints = info.context.services.policy, await url_policy(info)
    async with guarded_http.guarded_client(policy) as client:
        return await oauth.exchange(
            client, provider, policy, endpoints, code=input.code, redirect_uri=input.redirect_uri, verifier=verifier
        )


@mutation(TemplateOauthInstantiatePayload, Scope.MANAGE)
async def instantiate(info: Info, app_id: strawberry.ID, input: TemplateOauthInstantiateIn) -> TemplateOauthInstantiatePayload:
    """Exchange a code and create an endpoint of what comes of it: the URL is the webhook's, the code the template's. A code works once."""
    check(input)
    caller = info.context.caller
    app = await Application.load(caller, str(app_id))
    template = await _template(info, input)
    await _require_possible(info, app, input, template)
    found = await exchanged(
        info, input.provider, OauthPayloadIn(code=input.code, redirect_uri=input.redirect_uri, state=input.state), app.id
    )
    if found.url is None:
        raise Conflict(f"{input.provider.title()} made no webhook: {found.error}.", ("input", "code"), code="OAUTH_FAILED")
    description = input.description or f"{input.provider.title()} {found.channel or ''}".strip()
    new = EndpointIn(url=URL(found.url), uid=input.uid, description=description, filter_types=input.filter_types, channels=input.channels)

    async def load() -> Template:
        return template

    endpoint, _ = await create_in(info, app, new, None, OfTemplate(template.id, load, input.variables))
    return await told(info, TemplateOauthInstantiatePayload(endpoint=endpoint, channel=found.channel))


async def _template(info: Info, input: TemplateOauthInstantiateIn) -> Template:
    """The template that is asked for, else the built-in one of the provider."""
    if input.template_id is not None:
        return await Template.load(info.context.caller, str(input.template_id), ("input", "templateId"))
    return await Template.load(info.context.caller, built_in_template.id_of(input.provider.value))


async def _require_possible(info: Info, app: Application, input: TemplateOauthInstantiateIn, template: Template) -> None:
    """Raise what creating the endpoint would, before the code is used up."""
    await require_room(info, app)
    wanted = input.filter_types or template.filter_types or ()
    await EventType.require_known(info.context.caller, wanted, ("input", "filterTypes"), offered=template.filter_types)
    await check_variables(info, app, template, input.variables or {}, ("input", "variables"))
    if input.uid is not None and await Endpoint.filter(app_id=app.id, uid=input.uid, deleted_at=None).exists():
        raise Conflict(f"An endpoint with the uid {input.uid!r} exists already in this application.", ("input", "uid"))


async def _verifier(info: Info, name: OauthProvider, input: OauthPayloadIn, app_id: str | None) -> str | None:
    """Use the state up; the PKCE verifier that was made with it. Only a backend may finish, without a state of ours, what it began by itself."""
    caller = info.context.caller
    if input.state is not None:
        return await OauthState.take(caller, name, input.redirect_uri, input.state, app_id)
    if caller.app_id is not None or await OauthState.is_open(caller, name, input.redirect_uri):
        raise InvalidInput("The state that came back with the code is needed.", ("input", "state"))
    return None


async def _provider(info: Info, name: OauthProvider, redirect_uri: str) -> Provider:
    """The provider as the operator set it up, for a redirect URI that it may have. Raises `NotConfigured` or `InvalidInput`."""
    settings = info.context.services.settings
    missing = oauth.missing_settings(settings, name.value)
    if missing:
        raise NotConfigured(f"{name.title()} is not set up in this service: the operator must set {' and '.join(missing)}.")
    if redirect_uri not in settings.oauth_redirect_uris:
        raise InvalidInput("This is none of the redirect URIs that the operator allows.", ("input", "redirectUri"))
    await allowance.draw(f"oauth:{info.context.caller.org_id}", STEPS_PER_MINUTE, "steps of OAuth")
    scope, webhook, channel = _WORDS[name]
    return Provider(
        name=name.value,
        client_id=getattr(settings, f"{name}_client_id"),
        client_secret=getattr(settings, f"{name}_client_secret").get_secret_value(),
        authorize_url=getattr(settings, f"{name}_authorize_url"),
        token_url=getattr(settings, f"{name}_token_url"),
        scope=scope,
        webhook=webhook,
        channel=channel,
        pkce=name is OauthProvider.DISCORD or settings.slack_pkce,
    )


def _shown(found: Exchange) -> OauthExchange:
    return OauthExchange(incoming_webhook_url=None if found.url is None else URL(found.url), channel=found.channel, error=found.error)

"""Rows, their invariants and the verbs that change them."""

from models.application import Application
from models.endpoint import Endpoint
from models.event_type import EventType
from models.inbound import Inbound
from models.integration import Integration
from models.oauth_state import OauthState
from models.organisation import Organisation
from models.organisation_settings import OrganisationSettings
from models.task import Task
from models.template import Template
from models.token import Token
from models.transformation import Transformation

__all__ = [
    "Application",
    "Endpoint",
    "EventType",
    "Inbound",
    "Integration",
    "OauthState",
    "Organisation",
    "OrganisationSettings",
    "Task",
    "Template",
    "Token",
    "Transformation",
]

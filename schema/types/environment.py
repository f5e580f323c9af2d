"""An organisation's settings and its configuration as a whole, in GraphQL (the contract's environment)."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import strawberry

from graphook import rules
from models.organisation_settings import ACTING
from models.organisation_settings import OrganisationSettings as Row
from schema.errors import UserError
from schema.fields import field, given, required, value
from schema.scalars import URL, Color
from schema.types.event_type import EventType, EventTypeIn


@strawberry.enum(description="How round corners are (component BorderRadiusEnum).")
class BorderRadius(enum.Enum):
    NONE = strawberry.enum_value("none", description="Not at all.")
    SM = strawberry.enum_value("sm", description="A little.")
    MD = strawberry.enum_value("md", description="Clearly.")
    LG = strawberry.enum_value("lg", description="Very.")
    FULL = strawberry.enum_value("full", description="As far as it goes.")


@strawberry.type(description="How round the corners of the portal are (component BorderRadiusConfig).")
class BorderRadiusConfig:
    button: BorderRadius | None = field("Of buttons.", default=None)
    card: BorderRadius | None = field("Of cards.", default=None)
    input: BorderRadius | None = field("Of fields.", default=None)


@strawberry.input(description="How round the corners of the portal are (component BorderRadiusConfig).")
class BorderRadiusConfigIn:
    button: BorderRadius | None = value("Of buttons.", default=None)
    card: BorderRadius | None = value("Of cards.", default=None)
    input: BorderRadius | None = value("Of fields.", default=None)


@strawberry.type(description="How large the portal's text is (component FontSizeConfig).")
class FontSizeConfig:
    base: int | None = field("Of plain text, in pixels.", default=None)


@strawberry.input(description="How large the portal's text is (component FontSizeConfig).")
class FontSizeConfigIn:
    base: int | None = value("Of plain text, in pixels.", rules.FONT_SIZE, default=None)


@strawberry.type(description="Changes to the portal's theme (component CustomThemeOverride).")
class CustomThemeOverride:
    border_radius: BorderRadiusConfig | None = field("Corners.", default=None)
    font_size: FontSizeConfig | None = field("Text.", default=None)


@strawberry.input(description="Changes to the portal's theme (component CustomThemeOverride).")
class CustomThemeOverrideIn:
    border_radius: BorderRadiusConfigIn | None = value("Corners.", default=None)
    font_size: FontSizeConfigIn | None = value("Text.", default=None)


@strawberry.type(description="The portal's colours (component CustomColorPalette).")
class CustomColorPalette:
    background_hover: Color | None = field("Behind what is pointed at.", default=None)
    background_primary: Color | None = field("Behind everything.", default=None)
    background_secondary: Color | None = field("Behind what is set apart.", default=None)
    button_primary: Color | None = field("Of the main button.", default=None)
    interactive_accent: Color | None = field("Of what can be used.", default=None)
    navigation_accent: Color | None = field("Of the navigation.", default=None)
    primary: Color | None = field("The main colour.", default=None)
    text_danger: Color | None = field("Of warnings.", default=None)
    text_primary: Color | None = field("Of plain text.", default=None)


@strawberry.input(description="The portal's colours (component CustomColorPalette).")
class CustomColorPaletteIn:
    background_hover: Color | None = value("Behind what is pointed at.", rules.COLOR, default=None)
    background_primary: Color | None = value("Behind everything.", rules.COLOR, default=None)
    background_secondary: Color | None = value("Behind what is set apart.", rules.COLOR, default=None)
    button_primary: Color | None = value("Of the main button.", rules.COLOR, default=None)
    interactive_accent: Color | None = value("Of what can be used.", rules.COLOR, default=None)
    navigation_accent: Color | None = value("Of the navigation.", rules.COLOR, default=None)
    primary: Color | None = value("The main colour.", rules.COLOR, default=None)
    text_danger: Color | None = value("Of warnings.", rules.COLOR, default=None)
    text_primary: Color | None = value("Of plain text.", rules.COLOR, default=None)


@strawberry.type(description="What the portal may know of an organisation's settings (component EnvironmentSettingsOut).")
class EnvironmentSettings:
    display_name: str | None = field("What the organisation is called.", default=None)
    color_palette_dark: CustomColorPalette | None = field("Colours in the dark.", default=None)
    color_palette_light: CustomColorPalette | None = field("Colours in the light.", default=None)
    custom_color: Color | None = field("The brand's colour.", default=None)
    custom_font_family: str | None = field("The font.", default=None)
    custom_font_family_url: URL | None = field("Where the font comes from.", default=None)
    custom_logo_url: URL | None = field("The logo.", default=None)
    custom_theme_override: CustomThemeOverride | None = field("Changes to the theme.", default=None)
    enable_channels: bool = field("Whether the portal shows channels.", default=False)
    enable_integration_management: bool = field("Whether the portal manages integrations.", default=False)
    enable_message_tags: bool = field("Whether the portal shows tags.", default=False)
    enable_transformations: bool = field(
        "Whether the portal offers transformations. Without it, tokens of one application cannot write any.", default=False
    )
    show_use_svix_play: bool = field("Whether the portal offers a test receiver.", default=True)

    @classmethod
    def of(cls, row: Row) -> Self:
        """The settings as they are shown: nested ones were stored as they came in."""
        names = {item.name for item in dataclasses.fields(cls)}
        values = {name: _show(name, stored) for name, stored in row.shown.items() if name in names and stored is not None}
        return cls(**values, **{name: getattr(row, name) for name in ACTING if name in names})


@strawberry.type(description="An organisation's settings (component SettingsOut).")
class Settings(EnvironmentSettings):
    custom_base_font_size: int | None = field("The size of plain text, in pixels.", default=None)
    event_catalog_published: bool = field("Whether the event types may be shown to the public.", default=False)
    disable_endpoint_on_failure: bool = field("Whether endpoints that only fail for days are disabled.", default=True)
    enforce_https: bool = field("Whether endpoints must use https.", default=False)
    read_only: bool = field("Whether tokens of one application can change nothing.", default=False)


@strawberry.input(description="All of an organisation's settings; what is absent gets its default (component SettingsIn).")
class SettingsIn:
    display_name: str | None = value("What the organisation is called.", rules.NAME, default=None)
    color_palette_dark: CustomColorPaletteIn | None = value("Colours in the dark.", default=None)
    color_palette_light: CustomColorPaletteIn | None = value("Colours in the light.", default=None)
    custom_base_font_size: int | None = value("The size of plain text, in pixels.", rules.FONT_SIZE, default=None)
    custom_color: Color | None = value("The brand's colour.", rules.COLOR, default=None)
    custom_font_family: str | None = value("The font.", rules.FONT_FAMILY, default=None)
    custom_font_family_url: URL | None = value("Where the font comes from.", rules.LINK, default=None)
    custom_logo_url: URL | None = value("The logo.", rules.LINK, default=None)
    custom_theme_override: CustomThemeOverrideIn | None = value("Changes to the theme.", default=None)
    disable_endpoint_on_failure: bool = value("Whether endpoints that only fail for days are disabled.", default=True)
    enable_channels: bool = value("Whether the portal shows channels.", default=False)
    enable_integration_management: bool = value("Whether the portal manages integrations.", default=False)
    enable_message_tags: bool = value("Whether the portal shows tags.", default=False)
    enable_transformations: bool = value(
        "Whether the portal offers transformations. Without it, tokens of one application cannot write any.", default=False
    )
    enforce_https: bool = value("Whether endpoints must use https, when they are saved and when they are sent to.", default=True)
    event_catalog_published: bool = value("Whether the event types may be shown to the public.", default=False)
    read_only: bool = value("Whether tokens of one application can change nothing.", default=False)
    show_use_svix_play: bool = value("Whether the portal offers a test receiver.", default=True)


@strawberry.type(description="An organisation's configuration as a whole (component EnvironmentOut).")
class Environment:
    version: int = field("The version of this form.", default=1)
    created_at: datetime = field("When it was exported.")
    event_types: list[EventType] = field("All event types, archived ones too, by name.")
    settings: Settings | None = field("The settings; null until any were saved.")


@strawberry.input(description="An organisation's configuration as it was exported (component EnvironmentIn).")
class EnvironmentIn:
    version: int = required("The version of the form; there is only 1.", rules.Range(1, 1))
    created_at: datetime = required("When it was exported.")
    event_types: list[EventTypeIn] | None = value("Event types to create or replace, at most 1000; others stay.", default=None)
    settings: SettingsIn | None = value("All settings; they stay when absent.", default=None)


@strawberry.type(description="What environmentUpdateSettings did.")
class EnvironmentUpdateSettingsPayload:
    settings: Settings | None = field("The settings, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What environmentImport did.")
class EnvironmentImportPayload:
    environment: Environment | None = field("The configuration as it is now, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


def stored(data: Any) -> Any:
    """An input as JSON can hold it: nested inputs are objects, enums their values."""
    if isinstance(data, enum.Enum):
        return data.value
    return {name: stored(found) for name, found in given(data).items()} if dataclasses.is_dataclass(data) else data


_NESTED: Mapping[str, type] = {
    "color_palette_dark": CustomColorPalette,
    "color_palette_light": CustomColorPalette,
    "custom_theme_override": CustomThemeOverride,
    "border_radius": BorderRadiusConfig,
    "font_size": FontSizeConfig,
}


def _show(name: str, found: Any) -> Any:
    if found is None:
        return None
    if name in ("button", "card", "input"):
        return BorderRadius(found)
    kind = _NESTED.get(name)
    return found if kind is None else kind(**{inner: _show(inner, item) for inner, item in found.items()})

"""The types of settings that are more than one number or word: how the text of a variable is read, and the rule that it keeps."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from graphook.secrets import MIN_KEY_LENGTH
from graphook.ssrf import Network, parse_network


def _must_match(pattern: str, rule: str) -> AfterValidator:
    """The rule of a text that is matched as a whole by a pattern; null keeps it too."""
    compiled = re.compile(pattern)

    def check(value: str | None) -> str | None:
        if value is not None and compiled.fullmatch(value) is None:
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _parts(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _some_key(value: Any) -> Any:
    if isinstance(value, str) and value and not _parts(value):
        raise ValueError("holds no key; unset it, or `openssl rand -base64 32` makes one")
    return value


def _long_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(key) < MIN_KEY_LENGTH for key in value):
        raise ValueError(f"each key has at least {MIN_KEY_LENGTH} characters; `openssl rand -base64 32` makes one")
    return value


def _networks(value: Any) -> Any:
    return tuple(parse_network(part) if isinstance(part, str) else part for part in _parts(value))


def _sane_schedule(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) > 32 or any(not 0 <= seconds <= 604_800 for seconds in value):
        raise ValueError("at most 32 numbers of seconds, each from 0 to 604800")
    return value


def _known_database(value: str) -> str:
    if not value.startswith(("sqlite://", "postgres://", "postgresql://")) or value == "sqlite://":
        raise ValueError("begins with sqlite:// or postgresql://")
    return value


def _readable_address(value: str | None) -> str | None:
    if value is None or value.startswith("sqlite://"):
        return value
    # Drivers tell what else is wrong with it by repeating a part, such as that of a password that ends the host too early.
    for host in value.partition("://")[2].partition("?")[0].partition("#")[0].partition("/")[0].rpartition("@")[2].split(","):
        try:
            urlsplit(f"//{host}").port  # noqa: B018
        except ValueError:
            raise ValueError("has a port that is none; in a user or a password, write / as %2F, ? as %3F, # as %23 and @ as %40") from None
    return value


def _known_redis(value: str | None) -> str | None:
    if value is None:
        return None
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("begins with redis://, rediss:// or unix://")
    # Imported here: where there is no Redis, nothing waits for its client to be loaded.
    from redis import ConnectionPool, RedisError

    try:
        ConnectionPool.from_url(value).make_connection()
    except TypeError:
        raise ValueError("has an option behind the ? that there is not") from None
    except RedisError as error:
        raise ValueError(str(error)) from None
    return value


# An empty text means unset, as a compose file makes it. Of validators before, the last in the list runs first.
_UNSET_WHEN_EMPTY = BeforeValidator(lambda value: value or None)
_SPLIT = BeforeValidator(_parts)
_WEB_ADDRESS = _must_match(r"https?://[^\s/?#@]+([/?][^\s#]*)?", "begins with http:// or https:// and has no user, blank or fragment")

Keys = Annotated[tuple[str, ...], NoDecode, _SPLIT, BeforeValidator(_some_key), AfterValidator(_long_keys)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
Names = Annotated[frozenset[str], NoDecode, _SPLIT]
Ports = Annotated[frozenset[Annotated[int, Field(ge=1, le=65_535)]], NoDecode, _SPLIT]
Schedule = Annotated[tuple[float, ...], NoDecode, _SPLIT, AfterValidator(_sane_schedule)]
DatabaseURL = Annotated[str, AfterValidator(_known_database), AfterValidator(_readable_address)]
RedisURL = Annotated[str | None, _UNSET_WHEN_EMPTY, AfterValidator(_readable_address), AfterValidator(_known_redis)]
WebAddress = Annotated[str, _WEB_ADDRESS]
WebAddresses = Annotated[frozenset[WebAddress], NoDecode, _SPLIT]
# Where others reach a service: paths are put behind it.
BaseAddress = Annotated[
    str | None,
    _UNSET_WHEN_EMPTY,
    _must_match(r"https?://[^\s/?#@]+(/[^\s?#]*)?", "begins with http:// or https:// and has no user, query or fragment"),
]
OptionalText = Annotated[str | None, _UNSET_WHEN_EMPTY]
OptionalSecret = Annotated[SecretStr | None, _UNSET_WHEN_EMPTY]
OptionalPort = Annotated[int | None, Field(ge=0, le=65_535), _UNSET_WHEN_EMPTY]
HeaderText = Annotated[str, _must_match(r"[\x20-\x7e]*", "has only visible ASCII characters and blanks")]
HeaderWord = Annotated[str | None, _UNSET_WHEN_EMPTY, _must_match(r"[\x21-\x7e]+", "has only visible ASCII characters, no blanks")]

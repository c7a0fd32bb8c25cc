"""A connection to an OpenAI-compatible server: its key, what it is, and one exchange at a time.

The key comes from the environment variable that the model's entry names. It lives in the client's headers
only: it is never logged, and words of servers and errors are cleared of it.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from featurestore.errors import SetupError
from llm_jobs.engines.openai_wire import NoResponseError
from llm_jobs.entries import ModelEntry

_CONNECT_SECONDS: Final = 10.0
_MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says about itself.

    Attributes:
        version: Owner and version, such as ``vllm-0.32.0``, or ``unknown``.
        max_model_len: Context of the model in tokens; None if it does not say.
    """

    version: str
    max_model_len: int | None


class OpenAIServer:
    """Speaks HTTP with one server.

    Args:
        entry: Model and address.
        connections: Requests at once at most.
        seconds: Time for one exchange.

    Raises:
        SetupError: If the key's environment variable is not set, or holds what cannot be a key.
    """

    def __init__(self, entry: ModelEntry, *, connections: int, seconds: float) -> None:
        self._entry = entry
        self._seconds = seconds
        self._key = _api_key(entry)
        self._client = httpx2.AsyncClient(
            base_url=f"{(entry.base_url or '').rstrip('/')}/",
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(seconds, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def post(self, path: str, payload: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (names in lower case) and body of the response to a JSON payload.

        Raises:
            NoResponseError: If there is none, or not all of it, in the time for one exchange.
        """
        return await self._exchange("POST", path, payload)

    async def facts(self) -> ServerFacts:
        """Ask the server what it is.

        Raises:
            SetupError: If it does not answer, refuses the key, or serves other models only; they are listed.
        """
        name, address = self._entry.server_model, self._entry.base_url
        try:
            status, _, body = await self._exchange("GET", "models", None)
        except NoResponseError as error:
            raise SetupError(
                f"the server of model {self._entry.alias!r} at {address} does not answer: {error}.",
                hint=f"Start it, or correct base_url in [models.{self._entry.alias}].",
            ) from None
        if status in {401, 403}:
            named = (
                f"${self._entry.api_key_env}"
                if self._entry.api_key_env
                else "no key (api_key_env is not set)"
            )
            raise SetupError(
                f"the server at {address} refuses {named} with status {status}.",
                hint=f"Set api_key_env in [models.{self._entry.alias}], and a valid key in that variable.",
            )
        models = _listed_models(body) if status == 200 else {}
        if models and name not in models:
            raise SetupError(
                f"the server at {address} does not serve {name!r}, but {', '.join(sorted(models))}.",
                hint=f"Set served_model in [models.{self._entry.alias}].",
            )
        facts = models.get(name, {})
        owner, version = str(facts.get("owned_by") or "unknown"), await self._version()
        length = facts.get("max_model_len")
        return ServerFacts(
            version=f"{owner}-{version}" if version else owner,
            max_model_len=length if isinstance(length, int) else None,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def without_key(self, words: str) -> str:
        """Words with the key masked, should a server or library repeat it."""
        return words.replace(self._key, _MASK) if self._key else words

    async def _version(self) -> str:
        """The version, where vLLM (``/version``) and Ollama (``/api/version``) have it; empty elsewhere."""
        for path in ("../version", "../api/version"):
            try:
                status, _, body = await self._exchange("GET", path, None)
            except NoResponseError:
                continue
            version = _parsed(body).get("version") if status == 200 else None
            if isinstance(version, str):
                return version[:40]
        return ""

    async def _exchange(
        self, method: str, path: str, payload: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            # The client's own limit is for each read; a server that sends a byte now and then would pass it.
            async with asyncio.timeout(self._seconds):
                response = await self._client.request(method, self._url(path), json=payload)
        except (TimeoutError, httpx2.TimeoutException):
            raise NoResponseError(f"no response within {self._seconds:g} seconds", timed_out=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            words = self.without_key(f"{type(error).__name__}: {error}")[:300]
            raise NoResponseError(words, timed_out=False) from None
        return response.status_code, dict(response.headers), response.content

    def _url(self, path: str) -> httpx2.URL:
        return self._client.base_url.join(path)


def _api_key(entry: ModelEntry) -> str:
    if entry.api_key_env is None:
        return ""
    key = os.environ.get(entry.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        found = "holds characters that no key has" if key else "is not set"
        raise SetupError(
            f"the environment variable {entry.api_key_env} of model {entry.alias!r} {found}.",
            hint=f"Put the server's key there: export {entry.api_key_env}=...",
        )
    return key


def _listed_models(body: bytes) -> dict[str, dict[str, Any]]:
    listed = _parsed(body).get("data")
    cards = [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else []
    return {str(card.get("id")): card for card in cards}


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

"""The variables by which SDKs are told a base URL, for a session's listeners of their own (`--reverse`).

Each has the URL that its SDK uses without it. Where a listener stands for that URL, or for what the variable holds
already, the variable is set to the same place at the listener; else it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from proxy_cli.env_undo import saved
from proxy_cli.environment import SESSION_VARIABLE

_REGIONS = "https://bedrock-runtime."

# Measured, the request arrived: all but the SDK for JavaScript's and OLLAMA_HOST, which are documented.
_DEFAULTS = {
    "OPENAI_BASE_URL": "https://api.openai.com/v1",  # openai, Python and Node; litellm
    "OPENAI_API_BASE": "https://api.openai.com/v1",  # litellm, LangChain
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",  # anthropic, Python and Node; Claude Code
    "GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com",  # google-genai, Python and Node
    "GROQ_BASE_URL": "https://api.groq.com",  # groq, Python
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": _REGIONS,  # boto3, AWS SDK for JavaScript; the host has the region in it
    "OLLAMA_HOST": "http://127.0.0.1:11434",  # ollama, the command and Python
}


def base_url_variables(listeners: Sequence[Mapping[str, str]], env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set for these listeners, as a session's status has them, in the environment `env`.

    Inside of a session a variable may hold a listener that is gone; what it held before that counts then.
    """
    variables, before = {}, saved(env)
    for name, default in _DEFAULTS.items():
        wanted = env.get(name, "")
        if _is_loopback(wanted) and (name in before or env.get(SESSION_VARIABLE)):
            wanted = before.get(name) or ""
        wanted = wanted.rstrip("/") or default
        for listener in listeners:
            place = _below(wanted, listener["upstream"])
            if place is not None:
                variables[name] = listener["base_url"] + place
                break
    return variables


def _below(wanted: str, upstream: str) -> str | None:
    """Return where a URL is below an upstream, "" for the upstream itself; None when it is elsewhere."""
    # One address of this machine is as good as the other.
    wanted, upstream = (url.replace("://localhost", "://127.0.0.1", 1) for url in (wanted, upstream))
    if wanted == _REGIONS and upstream.startswith(_REGIONS):
        return ""
    if wanted == upstream or wanted.startswith(f"{upstream}/"):
        return wanted[len(upstream) :]
    return None


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")

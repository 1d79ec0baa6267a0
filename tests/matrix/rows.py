"""The rows of the matrix: which client, on what, asking which host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.matrix_tools import AWS_SDK, Program, Tools

OPENAI = "api.openai.com"
ANTHROPIC = "api.anthropic.com"
GEMINI = "generativelanguage.googleapis.com"
BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Row:
    """One client."""

    name: str
    """What the table calls it."""
    make: Callable[[Tools], Program]
    host: str = OPENAI
    raw: bool = False
    """It writes bodies as it gets them, not the text in them."""
    quick: bool = False
    """It is tried by every run of all tests, not only by the matrix."""
    bypass: str = ""
    """Why it cannot be led through the proxy, as was measured: to try it would be to let it ask the real host."""


def _python() -> Iterator[Row]:
    def row(
        client: str,
        package: str | None,
        host: str = OPENAI,
        name: str = "",
        *,
        raw: bool = False,
        quick: bool = False,
        requirements: str = "requirements.txt",
    ) -> Row:
        def make(tools: Tools) -> Program:
            return tools.python(client, package, requirements)

        return Row(f"Python {name or client}", make, host, raw=raw, quick=quick)

    litellm = "requirements-litellm.txt"
    yield row("openai", "openai", quick=True)
    yield row("openai-async", "openai", name="openai, async")
    yield row("openai-responses", "openai", name="openai, responses")
    yield row("anthropic", "anthropic", ANTHROPIC, quick=True)
    yield row("google-genai", "google-genai", GEMINI)
    yield row("google-genai-async", "google-genai", GEMINI, name="google-genai, async")
    yield row("mistralai", "mistralai", "api.mistral.ai")
    yield row("groq", "groq", "api.groq.com")
    yield row("huggingface_hub", "huggingface_hub", "router.huggingface.co")
    yield row("litellm", "litellm", requirements=litellm)
    yield row(
        "litellm-async", "litellm", ANTHROPIC, name="litellm, async, to Anthropic", requirements=litellm
    )
    yield row("boto3", "boto3", BEDROCK, name="boto3, converse")
    yield row("requests", "requests", raw=True)
    yield row("httpx", "httpx", raw=True)
    yield row("httpx-async", "httpx", name="httpx, async, HTTP/2", raw=True)
    yield row("aiohttp", "aiohttp", name="aiohttp, trust_env", raw=True)
    yield row("urllib", None, raw=True, quick=True)


_BYPASSES = {
    ("Bun", AWS_SDK): "goes past the proxy: an HTTP/2 session of its own",
    ("Deno", AWS_SDK): "goes past the proxy: an HTTP/2 session of its own",
    ("Deno", "undici"): "goes past the proxy: connections of its own",
}
"""By runtime and client: no variable reaches them (Bun 1.4.5, Deno 2.9.6)."""


def _javascript(runtime: str, *, quick: bool = False) -> Iterator[Row]:
    def row(
        client: str, package: str | None, host: str = OPENAI, name: str = "", *, raw: bool = False
    ) -> Row:
        def make(tools: Tools) -> Program:
            return tools.javascript(client, package, runtime)

        is_quick = quick and client in {"openai", "fetch", "node:https"}
        bypass = _BYPASSES.get((runtime, client), "")
        return Row(f"{runtime} {name or client}", make, host, raw=raw, quick=is_quick, bypass=bypass)

    yield row("openai", "openai")
    yield row("openai-responses", "openai", name="openai, responses")
    yield row("@anthropic-ai/sdk", "@anthropic-ai/sdk", ANTHROPIC)
    yield row("@google/genai", "@google/genai", GEMINI)
    yield row(AWS_SDK, AWS_SDK, BEDROCK)
    yield row("axios", "axios", raw=True)
    yield row("undici", "undici", raw=True)
    yield row("fetch", None, raw=True)
    yield row("node:https", None, raw=True)


def _compiled() -> Iterator[Row]:
    def go(client: str, module: str | None, host: str = OPENAI, name: str = "", *, raw: bool = False) -> Row:
        return Row(f"Go {name or client}", lambda tools: tools.go(client, module), host, raw=raw)

    yield go("net/http", None, raw=True)
    yield go("openai", "github.com/openai/openai-go/v3", name="openai-go")
    yield go("openai-responses", "github.com/openai/openai-go/v3", name="openai-go, responses")
    yield go("anthropic", "github.com/anthropics/anthropic-sdk-go", ANTHROPIC, "anthropic-sdk-go")
    yield Row("Java HttpClient", lambda tools: tools.java("HttpClientCalls", None), raw=True)
    yield Row("Java openai-java", lambda tools: tools.java("OpenAiClient", "openai-java"))
    yield Row("Rust reqwest, rustls", lambda tools: tools.rust(), raw=True)
    yield Row("curl", lambda tools: tools.curl(), raw=True, quick=True)


ROWS = (
    *_python(),
    *_javascript("Node", quick=True),
    *_javascript("newer Node"),
    *_javascript("Bun"),
    *_javascript("Deno"),
    *_compiled(),
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One coding agent, which makes the calls that it wants to."""

    name: str
    package: str
    command: tuple[str, ...]
    """The program of the package that answers one question, and how it is asked."""
    host: str
    path: str
    """Where it has its answers from."""
    note: str = ""
    """What the table has to add."""
    on_node: bool = False
    """It runs on the Node that is installed; else it is a native program."""


_QUESTION = "Wie warm ist es? 🌡"

_CODEX_WITHOUT_WEBSOCKETS = (
    '-cmodel_provider="own"',
    f'-cmodel_providers.own={{name="own", base_url="https://{OPENAI}/v1", env_key="OPENAI_API_KEY"}}',
)
"""A provider that is not built in speaks HTTP alone."""

AGENTS = (
    Agent("Claude Code", "@anthropic-ai/claude-code", ("claude", "-p", _QUESTION), ANTHROPIC, "/v1/messages"),
    Agent(
        "Codex",
        "@openai/codex",
        ("codex", "exec", "--skip-git-repo-check", _QUESTION),
        OPENAI,
        "/v1/responses",
        "asks over a WebSocket first, which would not be recorded; the router refused it",
    ),
    Agent(
        "Codex, a provider of one's own",
        "@openai/codex",
        ("codex", "exec", "--skip-git-repo-check", *_CODEX_WITHOUT_WEBSOCKETS, _QUESTION),
        OPENAI,
        "/v1/responses",
        "no WebSocket",
    ),
    # A model that is named: else one is asked which model to ask, in JSON.
    Agent(
        "Gemini CLI",
        "@google/gemini-cli",
        ("gemini", "--skip-trust", "-m", "gemini-2.5-flash", "-p", _QUESTION),
        GEMINI,
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        on_node=True,
    ),
    Agent(
        "OpenCode",
        "opencode-ai",
        ("opencode", "run", "-m", "anthropic/claude-sonnet-4-5", _QUESTION),
        ANTHROPIC,
        "/v1/messages",
    ),
)

"""The pytest plugin: a session of its own for each test that is marked `wiretape` or names that fixture.

    @pytest.mark.wiretape                    the variables are set for the test and for what it starts
    def test_chat(wiretape): ...             so they are, and `wiretape` knows the cassette

pytest loads this in every run of its user, so it imports nothing but pytest; the rest comes with the first test that
is marked. What it does to a session is in `plugin_session`.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy_cli.plugin_names import MODES, cassette_path, default_mode, name_within_file, session_name

if TYPE_CHECKING:
    import pluggy

    from proxy_cli.plugin_session import Plan, Tape

_tape: pytest.StashKey[Tape] = pytest.StashKey()
_passed: pytest.StashKey[bool] = pytest.StashKey()
_port: pytest.StashKey[int] = pytest.StashKey()
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and settings."""
    group = parser.getgroup("wiretape", "LLM traffic, recorded and replayed (wiretape)")
    group.addoption(
        "--wiretape-mode",
        metavar="MODE",
        choices=MODES,
        help="record-only (anew), record-once (default), replay-only (default under CI), replay-with-new-episodes"
        " or passthrough",
    )
    unused = "fail a test that did not ask for all that is in its cassette"
    group.addoption("--wiretape-fail-on-unused", action="store_true", help=unused)
    group.addoption(
        "--wiretape-keep-failed", action="store_true", help="keep what a test recorded although it failed"
    )
    parser.addini("wiretape_mode", "default of --wiretape-mode", type="string", default="")
    parser.addini(
        "wiretape_cassette_dir",
        "where cassettes go, from the root folder (default: `cassettes` beside each test file)",
        type="string",
        default="",
    )
    parser.addini("wiretape_hosts", "hosts to record besides the known ones", type="linelist", default=[])
    parser.addini("wiretape_fail_on_unused", unused, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker; refuse a mode in the settings that there is not."""
    config.addinivalue_line(
        "markers",
        "wiretape(mode=, cassette=, hosts=[], ...): record the test's LLM traffic, or replay it;"
        " takes the options of `wiretape run` by their names in Python",
    )
    mode = config.getini("wiretape_mode")
    if mode and mode not in MODES:
        raise pytest.UsageError(f"wiretape_mode: {mode!r} is no mode; choose one of: {', '.join(MODES)}")


@pytest.fixture(autouse=True)
def _wiretape_for_marked(request: pytest.FixtureRequest) -> None:
    # A fixture and not a hook, so that it comes before those of the test's own and behind those of a wider scope.
    if request.node.get_closest_marker("wiretape") is not None:
        request.getfixturevalue("wiretape")


@pytest.fixture
def wiretape(request: pytest.FixtureRequest) -> Iterator[Tape]:
    """Record this test's LLM traffic, or replay it: `.cassette`, `.mode`, `.proxy`, `.environment`, `.close()`."""
    item, config = request.node, request.config
    _require_own_packages()
    from proxy_cli import plugin_session  # noqa: PLC0415 - settings, YAML, ssl: for those who use it

    try:
        tape = plugin_session.open_tape(_plan(item, config), config.stash.get(_port, 0))
    except plugin_session.ERRORS as exc:
        pytest.fail(f"wiretape: {plugin_session.message(exc)}", pytrace=False)
    config.stash[_port] = tape.port
    item.stash[_tape], item.stash[_passed] = tape, False
    yield tape
    ending = tape.finish(passed=item.stash[_passed])
    if not item.stash[_passed]:
        item.add_report_section("teardown", "wiretape", "\n".join(ending.notes))
    if ending.failures:
        pytest.fail("\n\n".join(ending.failures), pytrace=False)
    for doubt in ending.doubts:
        item.warn(pytest.PytestWarning(f"wiretape: {doubt}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, pluggy.Result[None], None]:
    """Fail a test, while it is still the test that fails, when a request of it found no recorded answer."""
    outcome = yield
    tape = item.stash.get(_tape, None)
    if tape is None:
        return
    passed = outcome.excinfo is None
    item.stash[_passed] = passed
    if outcome.excinfo is not None and issubclass(outcome.excinfo[0], (KeyboardInterrupt, SystemExit)):
        return
    from proxy_cli.plugin_session import ERRORS  # noqa: PLC0415 - there is a tape, so it was imported

    try:
        misses = tape.misses()
    except ERRORS:
        return  # closing the session says so
    if misses and passed:
        item.stash[_passed] = False
        outcome.force_exception(pytest.fail.Exception(misses, pytrace=False))
    elif misses:
        item.add_report_section("call", "wiretape", misses)


def _plan(item: pytest.Item, config: pytest.Config) -> Plan:
    from proxy_cli.plugin_session import Plan  # noqa: PLC0415

    given: dict[str, Any] = {}
    for marker in reversed(
        list(item.iter_markers("wiretape"))
    ):  # the function's goes over the class's and the module's
        if marker.args:
            pytest.fail("pytest.mark.wiretape takes names, like cassette='chat.yaml'", pytrace=False)
        given |= marker.kwargs
    mode = config.getoption("wiretape_mode") or config.getini("wiretape_mode") or default_mode(os.environ)
    test = name_within_file(item.nodeid, item.name)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    settings = config.rootpath / "wiretape.yaml"
    return Plan(
        test=item.nodeid,
        session=session_name(item.path, test, f"{worker}-{os.getpid()}-{next(_numbers)}"),
        cassette=cassette_path(item.path, test, config.rootpath, config.getini("wiretape_cassette_dir")),
        mode=mode,
        folder=item.path.parent,
        hosts=tuple(config.getini("wiretape_hosts")),
        # Whatever folder pytest is called in, tests have the same settings.
        config=settings if settings.is_file() and not os.environ.get("WIRETAPE_CONFIG") else None,
        fail_on_unused=config.getoption("wiretape_fail_on_unused")
        or config.getini("wiretape_fail_on_unused"),
        keep_failed=config.getoption("wiretape_keep_failed"),
        options=given,
    )


def _require_own_packages() -> None:
    """Fail the test where a module of its project stands before a package of ours that has the same name."""
    ours = Path(__file__).resolve().parent.parent
    for name in ("addons", "cassette"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent != ours / name:
            at = spec.origin if spec is not None else "nowhere"
            pytest.fail(
                f"wiretape: its package {name!r} is hidden by another one of that name ({at}); call that one otherwise,"
                " or take its folder out of sys.path",
                pytrace=False,
            )

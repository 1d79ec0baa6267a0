"""The pytest plugin, in a pytest of its own: what it records, replays, fails and leaves behind."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from cassette.store import load
from tests.support.scripts import Received, Reply, whole
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

pytest_plugins = ["pytester"]

HOST = "api.openai.com"
INSTALLED = any(point.name == "wiretape" for point in importlib.metadata.entry_points(group="pytest11"))

# With an opener of its own: the one of urlopen keeps the proxy of the test in which it was made.
CLIENT = f"""
    import os, subprocess, sys, urllib.error, urllib.request
    import pytest

    def ask(path="/v1/models", body=None):
        request = urllib.request.Request("https://{HOST}" + path, body and body.encode())
        try:
            with urllib.request.build_opener().open(request, timeout=30) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            return f"{{error.code}}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    """One home and one daemon for the tests of this module."""
    with Wiretape(tmp_path_factory.mktemp("home")) as command:
        command.start("keeps-the-daemon")
        yield command


class Project:
    """A project of a user's: test files, and the pytest that runs them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.folder = pytester.path
        self.marker = ""
        """Arguments of the marker that lead to the upstream."""

    def use(self, upstream: Upstream) -> None:
        """Have requests go to this upstream."""
        self.marker = f"connect_to={upstream.connect_to()!r}, upstream_ca={str(upstream.ca_file)!r}"

    def write(self, code: str, name: str = "test_chat") -> None:
        """Write a test file; `MARKED` in it is the marker with the way to the upstream."""
        text = textwrap.dedent(CLIENT) + textwrap.dedent(code).replace(
            "MARKED", f"pytest.mark.wiretape({self.marker})"
        )
        self._pytester.makepyfile(**{name: text})

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        # Hypothesis takes a second to load.
        plugins = ["-p", "no:hypothesispytest", *([] if INSTALLED else ["-p", "proxy_cli.pytest_plugin"])]
        return self._pytester.runpytest_subprocess(
            *plugins, "-p", "no:cacheprovider", *arguments, timeout=120
        )

    def cassette(self, test: str, module: str = "test_chat") -> Path:
        """Say where a test's cassette is."""
        return self.folder / "cassettes" / module / f"{test}.yaml"

    def recorded(self, test: str, module: str = "test_chat") -> list[str]:
        """Return the response bodies in a test's cassette."""
        return [one.response.body.decode() for one in load(self.cassette(test, module)).interactions]


@pytest.fixture
def project(pytester: pytest.Pytester, home: Wiretape, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("CI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    return Project(pytester)


@pytest.fixture
def upstream(project: Project) -> Iterator[Upstream]:
    """An upstream that answers with the path it was asked for, and what it was sent."""

    def answer(request: Received, reply: Reply) -> None:
        whole(200, [], request.target.encode() + request.body)(request, reply)

    with Upstream(answer) as served:
        project.use(served)
        yield served


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def test_marked_test_is_recorded_once_and_replayed_without_upstream(
    project: Project, upstream: Upstream
) -> None:
    project.write("""
        @MARKED
        def test_one():
            assert ask("/v1/models") == "/v1/models"
    """)
    project.run().assert_outcomes(passed=1)
    assert project.recorded("test_one") == ["/v1/models"]
    asked = len(upstream.received)
    upstream.close()
    project.run().assert_outcomes(passed=1)
    assert len(upstream.received) == asked == 1


def test_fixture_gives_cassette_mode_and_proxy(project: Project, upstream: Upstream) -> None:
    project.write("""
        from pathlib import Path

        @MARKED
        def test_value(wiretape):
            assert wiretape.cassette == Path(__file__).parent / "cassettes" / "test_chat" / "test_value.yaml"
            assert wiretape.mode == "record-once"
            assert wiretape.environment["HTTPS_PROXY"] == os.environ["HTTPS_PROXY"] == wiretape.proxy
            assert wiretape.status()["interactions"] == 0
            ask()
            summary = wiretape.close()
            assert summary["interactions"] == 1
            assert wiretape.close() == wiretape.status() == summary
            assert "HTTPS_PROXY" not in os.environ

        def test_fixture_alone(wiretape):
            assert wiretape.environment["WIRETAPE_SESSION"] == wiretape.name
            assert wiretape.status()["mode"] == "record-once"
    """)
    project.run().assert_outcomes(passed=2, warnings=1)


def test_subprocess_of_a_test_is_recorded(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        def test_child():
            code = "import urllib.request as u; print(u.urlopen('https://api.openai.com/v1/child').read().decode())"
            assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "/v1/child"
    """)
    project.run().assert_outcomes(passed=1)
    assert project.recorded("test_child") == ["/v1/child"]


def test_parameters_and_classes_have_cassettes_of_their_own(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        @pytest.mark.parametrize("path", ["a", "b/c", "b?c"])
        def test_each(path):
            assert ask("/v1/" + path) == "/v1/" + path

        @MARKED
        class TestGroup:
            def test_each(self):
                ask("/v1/group")
    """)
    project.run().assert_outcomes(passed=4)
    names = sorted(path.name for path in (project.folder / "cassettes/test_chat").iterdir())
    assert len(names) == 4
    assert {"TestGroup.test_each.yaml", "test_each-a.yaml"} < set(names)
    assert sum(name.startswith("test_each-b_c-") for name in names) == 2


def test_workers_of_xdist_record_and_replay_side_by_side(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        @pytest.mark.parametrize("number", range(8))
        def test_number(number):
            assert ask(f"/v1/{number}") == f"/v1/{number}"
    """)
    project.run("-n", "2").assert_outcomes(passed=8)
    assert [project.recorded(f"test_number-{n}") for n in range(8)] == [[f"/v1/{n}"] for n in range(8)]
    upstream.close()
    project.run("-n", "2").assert_outcomes(passed=8)


def test_daemon_is_started_by_whichever_worker_comes_first(
    project: Project, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("""
        @MARKED
        @pytest.mark.parametrize("number", range(4))
        def test_number(number):
            assert ask(f"/v1/{number}") == f"/v1/{number}"
    """)
    with Wiretape(tmp_path) as fresh:
        monkeypatch.setenv("WIRETAPE_HOME", str(fresh.home))
        assert fresh.daemon_pid() is None
        # Warnings as errors: the daemon is a process that is started and not waited for.
        project.run("-n", "4", "-W", "error").assert_outcomes(passed=4)
        assert fresh.daemon_pid() is not None


def test_ci_replays_only(project: Project, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("""
        @MARKED
        def test_one(wiretape):
            assert wiretape.mode == os.environ["EXPECTED"]
            ask()
    """)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("EXPECTED", "replay-only")
    result = project.run()
    result.assert_outcomes(errors=1)
    assert "there is no cassette to replay" in said(result)
    assert "pytest --wiretape-mode=record-once 'test_chat.py::test_one'" in said(result)
    assert not upstream.received

    monkeypatch.setenv("CI", "false")
    monkeypatch.setenv("EXPECTED", "record-once")
    project.run().assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("EXPECTED", "replay-only")
    project.run().assert_outcomes(passed=1)


def test_mode_of_marker_goes_over_option_over_setting_over_ci(
    project: Project, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("""
        pytestmark = pytest.mark.wiretape(mode="passthrough")

        @pytest.mark.wiretape(mode="record-only")
        def test_marker(wiretape):
            assert wiretape.mode == "record-only"

        def test_module(wiretape):
            assert wiretape.mode == "passthrough"
    """)
    project.write(
        """
        def test_unmarked(wiretape):
            assert wiretape.mode == os.environ["EXPECTED"]
        """,
        "test_other",
    )
    monkeypatch.setenv("CI", "true")
    (project.folder / "pytest.ini").write_text("[pytest]\nwiretape_mode = replay-with-new-episodes\n")
    monkeypatch.setenv("EXPECTED", "replay-with-new-episodes")
    project.run().assert_outcomes(passed=3, warnings=2)
    monkeypatch.setenv("EXPECTED", "record-only")
    project.run("--wiretape-mode=record-only").assert_outcomes(passed=3, warnings=2)


def test_miss_fails_the_test_and_says_why(project: Project, upstream: Upstream) -> None:
    code = """
        @MARKED
        def test_question():
            ask("/v1/chat/completions", '{"model": "m", "question": "WHAT"}')
    """
    project.write(code.replace("WHAT", "who"))
    project.run().assert_outcomes(passed=1)
    before = project.cassette("test_question").read_bytes()
    project.write(code.replace("WHAT", "when"))
    result = project.run()
    result.assert_outcomes(failed=1)
    text = said(result)
    assert "1 request found no recorded answer" in text
    assert "it differs at question" in text
    assert '+  "question": "when"' in text
    assert "pytest --wiretape-mode=record-only 'test_chat.py::test_question'" in text
    assert project.cassette("test_question").read_bytes() == before
    assert len(upstream.received) == 1

    project.run("--wiretape-mode=record-only").assert_outcomes(passed=1)
    assert b"when" in project.cassette("test_question").read_bytes()
    assert b"who" not in project.cassette("test_question").read_bytes()


def test_miss_in_a_fixtures_end_is_an_error(project: Project, upstream: Upstream) -> None:
    project.write("""
        @pytest.fixture
        def thread(wiretape):
            yield
            ask("/v1/" + os.environ["PATH_AT_END"])

        @MARKED
        def test_thread(thread):
            ask("/v1/begin")
    """)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH_AT_END", "end")
        project.run().assert_outcomes(passed=1)
        assert project.recorded("test_thread") == ["/v1/begin", "/v1/end"]
        patch.setenv("PATH_AT_END", "other")
        result = project.run()
    result.assert_outcomes(passed=1, errors=1)
    assert "No recorded interaction answers GET https://api.openai.com/v1/other" in said(result)


def test_miss_is_shown_with_a_test_that_failed_of_itself(project: Project, upstream: Upstream) -> None:
    code = """
        @MARKED
        def test_fails():
            assert ask("/v1/PATH") == "/v1/PATH"
    """
    project.write(code.replace("PATH", "known"))
    project.run().assert_outcomes(passed=1)
    project.write(code.replace("PATH", "unknown"))
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "No recorded interaction answers GET https://api.openai.com/v1/unknown" in said(result)


@pytest.mark.parametrize("way", ["option", "setting", "marker"])
def test_unused_interactions_fail_a_test_where_that_is_wanted(
    way: str, project: Project, upstream: Upstream
) -> None:
    project.write("""
        @MARKED
        def test_two():
            for number in range(int(os.environ["ASKED"])):
                ask(f"/v1/{number}")
    """)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASKED", "2")
        project.run().assert_outcomes(passed=1)
        patch.setenv("ASKED", "1")
        project.run().assert_outcomes(passed=1)
        arguments = []
        if way == "option":
            arguments.append("--wiretape-fail-on-unused")
        elif way == "setting":
            (project.folder / "pytest.ini").write_text("[pytest]\nwiretape_fail_on_unused = true\n")
        else:
            text = (project.folder / "test_chat.py").read_text()
            (project.folder / "test_chat.py").write_text(
                text.replace(".wiretape(", ".wiretape(fail_on_unused=True, ")
            )
        result = project.run(*arguments)
    result.assert_outcomes(passed=1, errors=1)
    assert "1 recorded interaction" in said(result)
    assert "not asked for" in said(result)


def test_variables_are_as_before_afterwards(project: Project, upstream: Upstream) -> None:
    project.write("""
        before = {}

        def test_before():
            os.environ["SSL_CERT_FILE"] = "/mine.pem"
            before.update(os.environ)

        @MARKED
        def test_marked():
            assert os.environ["SSL_CERT_FILE"] != "/mine.pem"
            assert os.environ["HTTPS_PROXY"].startswith("http://127.0.0.1:")
            ask()

        def test_after():
            del before["PYTEST_CURRENT_TEST"]
            assert {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} == before
    """)
    project.run().assert_outcomes(passed=3)


def test_failing_test_leaves_no_cassette(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        def test_fails():
            ask()
            assert os.environ.get("WELL")
    """)
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "is as it was before this test" in said(result)
    assert not project.cassette("test_fails").exists()

    project.run("--wiretape-keep-failed").assert_outcomes(failed=1)
    assert project.recorded("test_fails") == ["/v1/models"]
    kept = project.cassette("test_fails").read_bytes()
    project.run("--wiretape-mode=record-only").assert_outcomes(failed=1)
    assert project.cassette("test_fails").read_bytes() == kept


def test_test_whose_fixture_fails_leaves_no_cassette(project: Project, upstream: Upstream) -> None:
    project.write("""
        @pytest.fixture
        def broken(wiretape):
            ask()
            raise RuntimeError

        @MARKED
        def test_never(broken):
            pass
    """)
    project.run().assert_outcomes(errors=1)
    assert not project.cassette("test_never").exists()


def test_client_that_passes_the_proxy_by_is_warned_of(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        def test_direct():
            if os.environ.get("ASK"):
                ask()
    """)
    result = project.run()
    result.assert_outcomes(passed=1, warnings=1)
    assert "no request came through the proxy" in said(result)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASK", "1")
        project.run("--wiretape-mode=record-only").assert_outcomes(passed=1)
    result = project.run()
    result.assert_outcomes(passed=1, warnings=1)
    assert "none of 1 recorded interaction was asked for" in said(result)


def test_client_of_the_first_test_works_in_the_next(project: Project, upstream: Upstream) -> None:
    # urlopen makes its opener once and keeps the proxy.
    project.write(
        """
        @MARKED
        @pytest.mark.parametrize("path", ["one", "two"])
        def test_shared(path):
            context = None
            with urllib.request.urlopen("http://api.openai.com/v1/" + path) as response:
                assert response.read().decode() == "/v1/" + path
    """.replace("MARKED", f"pytest.mark.wiretape(connect_to={upstream.connect_to(port=80)!r})")
    )
    project.run().assert_outcomes(passed=2)
    assert [project.recorded(f"test_shared-{path}") for path in ("one", "two")] == [["/v1/one"], ["/v1/two"]]


def test_cassettes_go_where_the_setting_says(project: Project, upstream: Upstream) -> None:
    (project.folder / "pytest.ini").write_text("[pytest]\nwiretape_cassette_dir = recordings\n")
    folder = project.folder / "unit"
    folder.mkdir()
    project.write("""
        @MARKED
        def test_one():
            ask()
    """)
    (project.folder / "test_chat.py").rename(folder / "test_chat.py")
    project.run().assert_outcomes(passed=1)
    assert (project.folder / "recordings/unit/test_chat/test_one.yaml").exists()


def test_marker_names_cassette_and_hosts(project: Project, upstream: Upstream) -> None:
    (project.folder / "pytest.ini").write_text("[pytest]\nwiretape_hosts =\n    llm.one.example\n")
    project.write(
        """
        @MARKED
        def test_named():
            for name in ("one", "two", "three"):
                request = f"https://llm.{name}.example/v1/{name}"
                context = None
                if name == "three":  # not listed: tunnelled, with the upstream's own certificate
                    import ssl
                    context = ssl._create_unverified_context()
                handlers = [urllib.request.HTTPSHandler(context=context)]
                urllib.request.build_opener(*handlers).open(request).read()
    """.replace(
            "MARKED",
            f"pytest.mark.wiretape({project.marker}, cassette='my/own.yaml', hosts=['llm.two.example'])",
        )
    )
    project.run().assert_outcomes(passed=1)
    recorded = load(project.folder / "my/own.yaml").interactions
    assert [one.request.url for one in recorded] == [
        "https://llm.one.example/v1/one",
        "https://llm.two.example/v1/two",
    ]


def test_what_the_marker_does_not_know_is_named(project: Project) -> None:
    project.write("""
        @pytest.mark.wiretape(casette="x.yaml")
        def test_name():
            pass

        @pytest.mark.wiretape(mode="record-twice")
        def test_mode():
            pass

        @pytest.mark.wiretape("x.yaml")
        def test_position():
            pass
    """)
    result = project.run()
    result.assert_outcomes(errors=3)
    text = said(result)
    assert "there is no option 'casette'; there are: cassette," in text
    assert "record-twice" in text
    assert "record-once" in text
    assert "takes names, like cassette='chat.yaml'" in text


def test_wrong_mode_in_the_settings_is_refused(project: Project) -> None:
    project.write("def test_nothing(): pass")
    (project.folder / "pytest.ini").write_text("[pytest]\nwiretape_mode = always\n")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "wiretape_mode: 'always' is no mode" in said(result)


def test_module_that_hides_one_of_ours_is_named(project: Project) -> None:
    (project.folder / "addons.py").write_text("")
    project.write("""
        @pytest.mark.wiretape
        def test_hidden():
            pass
    """)
    result = project.run()
    result.assert_outcomes(errors=1)
    assert "its package 'addons' is hidden" in said(result)


def test_plugin_that_is_not_used_loads_nothing(project: Project) -> None:
    project.write("""
        def test_modules():
            heavy = {"mitmproxy", "addons", "cassette", "yaml", "click", "ssl"}
            assert "proxy_cli.pytest_plugin" in sys.modules
            assert not (heavy - {"ssl"}) & set(sys.modules)
    """)
    project.run("--strict-markers", "-W", "error").assert_outcomes(passed=1)


def test_plugin_that_is_used_brings_no_mitmproxy(project: Project, upstream: Upstream) -> None:
    project.write("""
        @MARKED
        def test_modules():
            ask()
            assert "mitmproxy" not in sys.modules
    """)
    project.run("--strict-markers", "-W", "error").assert_outcomes(passed=1)


def test_sessions_are_closed_and_daemon_stays(project: Project, upstream: Upstream, home: Wiretape) -> None:
    project.write("""
        @MARKED
        def test_passes():
            ask()

        @MARKED
        def test_fails():
            raise AssertionError
    """)
    project.run().assert_outcomes(passed=1, failed=1)
    assert [session["name"] for session in home.status()["sessions"]] == ["keeps-the-daemon"]

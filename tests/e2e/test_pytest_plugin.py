"""The pytest plugin, in a pytest of its own: what it records and replays, where, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from cassette.store import load
from tests.support.pytest_project import Project, said
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

pytest_plugins = ["pytester", "tests.support.plugin_fixtures"]


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


def test_marker_keeps_the_times_of_chunks(project: Project, upstream: Upstream) -> None:
    project.write(
        """
        @MARKED
        def test_one():
            ask()
    """.replace("MARKED", f"pytest.mark.wiretape({project.marker}, keep_timing=True)")
    )
    project.run().assert_outcomes(passed=1)
    assert (project.folder / "cassettes/test_chat/test_one.timing.jsonl").exists()


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


def test_sessions_are_closed_and_daemon_stays(
    project: Project, upstream: Upstream, plugin_home: Wiretape
) -> None:
    project.write("""
        @MARKED
        def test_passes():
            ask()

        @MARKED
        def test_fails():
            raise AssertionError
    """)
    project.run().assert_outcomes(passed=1, failed=1)
    assert [session["name"] for session in plugin_home.status()["sessions"]] == ["keeps-the-daemon"]

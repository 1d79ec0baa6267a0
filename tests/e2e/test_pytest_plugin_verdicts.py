"""The pytest plugin, in a pytest of its own: which tests it fails, what it says then, and what it warns of."""

from __future__ import annotations

import pytest

from tests.support.pytest_project import Project, said
from tests.support.upstream import Upstream

pytest_plugins = ["pytester", "tests.support.plugin_fixtures"]


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

"""The fixtures around a project of a user's (`pytest_project`); test modules name this in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.pytest_project import Project
from tests.support.scripts import Received, Reply, whole
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape


@pytest.fixture(scope="module")
def plugin_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    """One home and one daemon for the tests of a module."""
    with Wiretape(tmp_path_factory.mktemp("home")) as command:
        command.start("keeps-the-daemon")
        yield command


@pytest.fixture
def project(pytester: pytest.Pytester, plugin_home: Wiretape, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name, value in plugin_home.environment.items():
        monkeypatch.setenv(name, value)
    # Afterwards: the command's environment is a copy of this one, a CI's included.
    for name in ("CI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Project(pytester)


@pytest.fixture
def upstream(project: Project) -> Iterator[Upstream]:
    """An upstream that answers with the path it was asked for, and what it was sent."""

    def answer(request: Received, reply: Reply) -> None:
        whole(200, [], request.target.encode() + request.body)(request, reply)

    with Upstream(answer) as served:
        project.use(served)
        yield served

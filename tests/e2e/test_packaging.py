"""A wheel built from the tree works alone: the configuration travels in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode and "hatchling" in done.stderr and "No matching distribution" in done.stderr:
        pytest.skip("the build back end cannot be had: no package registry")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_configuration_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"addons", "cassette", "config", "proxy_cli"}
    assert {"config/default.yaml", "config/routers.yaml"} <= set(names)
    probes = {f"proxy_cli/probes/{name}" for name in ("Probe.java", "probe.go", "probe.mjs", "probe.py")}
    assert {"proxy_cli/node_proxy.cjs", *probes} <= set(names)


def test_demo_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    # A folder named like one of ours, where the user stands, must not come in between.
    (tmp_path / "cassette").mkdir()
    (tmp_path / "cassette" / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    home = tmp_path / "h"
    environment = {
        name: value
        for name, value in os.environ.items()
        if "PROXY" not in name.upper() and not name.startswith("WIRETAPE_")
    }
    environment |= {"PYTHONPATH": str(site), "WIRETAPE_HOME": str(home), "WIRETAPE_LINGER_SECONDS": "0"}
    command = [sys.executable, "-P", "-m", "proxy_cli"]
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import cassette, proxy_cli; print(cassette.__file__, proxy_cli.__file__)"],
        capture_output=True, text=True, check=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert all(str(site) in path for path in where.stdout.split())
    done = subprocess.run(
        [*command, "demo"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
        timeout=120,
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "add(2, 3) = 5" in done.stdout
        recorded = (tmp_path / "cassettes" / "demo.yaml").read_text()
        assert recorded.count("- id: ") == 2
        assert "hf_" not in recorded
    finally:
        subprocess.run(
            [*command, "daemon", "stop"], env=environment, cwd=tmp_path, check=False, capture_output=True
        )

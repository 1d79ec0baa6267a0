"""Which roots a client trusts behind the proxy, and which the proxy itself trusts.

SSL_CERT_FILE and its relatives *replace* the roots of a client. Pointing them at our CA alone would
break every connection that is only tunnelled, so a client gets one bundle:

    our CA + the files that its own variables name + the system's roots (certifi's when there are none)

and the proxy, which verifies the real servers in the client's place, gets the same without our CA, with
certifi's roots in any case (they are what most Python clients would have used).
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from addons.errors import ConfigError
from proxy_cli import java_roots
from proxy_cli.ca import (
    BUNDLE_FILE,
    CERTIFICATE_FILE,
    FOLDER,
    JAVA_SUFFIX,
    NODE_PRELOAD_FILE,
    CaPaths,
    ensure_ca,
)
from proxy_cli.env_options import java_trust_store
from proxy_cli.environment import ROOT_VARIABLES
from proxy_cli.javastore import trust_store
from proxy_cli.pem import certificates_in, loadable, to_pem
from proxy_cli.private import PrivateFolder

UPSTREAM_FILE = "upstream-roots.pem"

# The first that holds certificates wins, after OpenSSL's own. Sources: the packages ca-certificates of
# Debian and Alpine, of Fedora and RHEL, of openSUSE; macOS and the BSDs.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
)

_SOURCES = b"# Written by wiretape. Besides the usual roots, those of: "
"""The first line of a bundle, followed by a JSON list: the user's own files that went into it."""


def client_ca(home: Path, env: Mapping[str, str]) -> CaPaths:
    """Return the CA with the bundle that suits a client started from `env`; makes what is missing.

    That includes the bundle's form for Java, and the file that Node loads.
    """
    ca = ensure_ca(home)
    # A copy: a path inside the installation would be gone, and Node refuse to start, after an upgrade.
    preload = Path(__file__).with_name("node_proxy.cjs").read_bytes()
    with PrivateFolder(home / FOLDER) as folder:
        _replace(folder, NODE_PRELOAD_FILE, preload)
    return replace(ca, bundle=write_bundle(home, env))


def write_bundle(home: Path, env: Mapping[str, str]) -> Path:
    """Write the bundle for clients started from `env` and return its path.

    The path depends on which files of their own the variables name, so that two shells with different
    roots do not take turns in overwriting one file. The file is replaced, in one step, only when its
    content changes. Variables that name one of our bundles already (a shell within a shell) stand for
    the files that went into it. Raises StartError when the folder cannot be used.
    """
    sources = _sources(home, env)
    with PrivateFolder(home / FOLDER) as folder:
        own = certificates_in(folder.read(CERTIFICATE_FILE) or b"")
        certificates = _unique(own, *map(_roots_at, sources), system_roots() or _certifi_roots())
        bundle = _put(folder, BUNDLE_FILE, sources, certificates)
        _put_java_store(folder, bundle.name)
        return bundle


def refresh_bundles(home: Path) -> None:
    """Bring every bundle up to date that was written for some client: shells go on using its path.

    Raises StartError when the folder cannot be used.
    """
    stem, _, suffix = BUNDLE_FILE.rpartition(".")
    with PrivateFolder(home / FOLDER) as folder:
        own = certificates_in(folder.read(CERTIFICATE_FILE) or b"")
        for name in folder.names():
            if name.startswith(stem) and name.endswith(f".{suffix}"):
                sources = _sources_in((folder.read(name) or b"").partition(b"\n")[0])
                roots = system_roots() or _certifi_roots()
                bundle = _put(folder, BUNDLE_FILE, sources, _unique(own, *map(_roots_at, sources), roots))
                _put_java_store(folder, bundle.name)


def upstream_roots(home: Path, env: Mapping[str, str]) -> list[bytes]:
    """Return the roots (DER) with which the proxy verifies real servers: never our own CA."""
    return _upstream_roots(home, _sources(home, env))


def write_upstream_roots(home: Path, env: Mapping[str, str], extra: Sequence[Path] = ()) -> Path:
    """Write `upstream_roots` and the certificates of the `extra` files to one PEM file; return its path.

    Raises ConfigError when an extra file has no certificate or cannot be read, StartError when the
    folder cannot be used.
    """
    for path in extra:
        if not _roots_at(str(path)):
            raise ConfigError(f"{path}: holds no certificate (expected PEM, `-----BEGIN CERTIFICATE-----`)")
    sources = [*_sources(home, env), *(str(path.absolute()) for path in extra)]
    with PrivateFolder(home / FOLDER) as folder:
        return _put(folder, UPSTREAM_FILE, sources, _upstream_roots(home, sources))


def system_roots() -> list[bytes]:
    """Return the roots (DER) that the system came with, whatever the environment says; maybe none."""
    paths = ssl.get_default_verify_paths()
    for path in (paths.openssl_cafile, *_SYSTEM_FILES, paths.openssl_capath):
        if found := _roots_at(path):
            return found
    return []


def _upstream_roots(home: Path, sources: Sequence[str]) -> list[bytes]:
    with PrivateFolder(home / FOLDER) as folder:
        own = set(certificates_in(folder.read(CERTIFICATE_FILE) or b""))
    roots = _unique(*map(_roots_at, sources), system_roots(), _certifi_roots())
    return [root for root in roots if root not in own]


def _put(folder: PrivateFolder, name: str, sources: Sequence[str], certificates: Sequence[bytes]) -> Path:
    """Bring the file of this kind and these sources up to date."""
    if sources:
        stem, _, suffix = name.rpartition(".")
        name = f"{stem}-{hashlib.sha256(_sources_line(sources)).hexdigest()[:12]}.{suffix}"
    content = _file_text(sources, certificates)
    if folder.read(name) != content:
        # Parsing all roots costs 20 ms (measured: 144 of them), hence only when something is new.
        _replace(folder, name, _file_text(sources, loadable(certificates)))
    return folder.path / name


def _put_java_store(folder: PrivateFolder, bundle: str) -> None:
    """Bring a bundle's form for Java up to date. Costs 3 ms when there is nothing to do (measured: 144 roots)."""
    certificates = certificates_in(folder.read(bundle) or b"")
    _replace(folder, bundle.removesuffix(".pem") + JAVA_SUFFIX, trust_store(certificates))


def _replace(folder: PrivateFolder, name: str, content: bytes) -> None:
    if folder.read(name) != content:
        with folder.lock():
            if folder.read(name) != content:
                folder.write(name, content)


def _file_text(sources: Sequence[str], certificates: Sequence[bytes]) -> bytes:
    return _sources_line(sources) + b"".join(map(to_pem, certificates))


def _sources_line(sources: Sequence[str]) -> bytes:
    # JSON keeps any path on one line of ASCII, even one with a line feed or bytes that are not UTF-8.
    return _SOURCES + json.dumps(list(sources)).encode("ascii") + b"\n"


def _sources(home: Path, env: Mapping[str, str]) -> list[str]:
    """Return the absolute paths that the user's variables name, without the system's and ours."""
    ours = os.path.realpath(home / FOLDER)
    paths = ssl.get_default_verify_paths()
    # Naming the system's own store in a variable is common (containers), and adds nothing.
    known = {os.path.realpath(path) for path in (paths.openssl_cafile, *_SYSTEM_FILES, paths.openssl_capath)}
    found: dict[str, None] = {}
    for value in _values(env):
        path = Path(value).absolute()
        if os.path.realpath(path.parent) == ours:
            found.update(dict.fromkeys(_sources_of_bundle(path)))
        elif os.path.realpath(path) not in known:
            found[str(path)] = None
    return list(found)


def _values(env: Mapping[str, str]) -> list[str]:
    values = [env[name] for name in ROOT_VARIABLES if env.get(name)]
    if store := java_trust_store(env.get("JAVA_TOOL_OPTIONS", "")):
        values.append(store)
    # SSL_CERT_DIR may list several folders (OpenSSL, Go). It is left to the clients as it is: OpenSSL
    # and Go read it besides SSL_CERT_FILE. But httpx reads it only when SSL_CERT_FILE is not set.
    values += [folder for folder in env.get("SSL_CERT_DIR", "").split(os.pathsep) if folder]
    return values


def _sources_of_bundle(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError:
        return []
    return _sources_in(line)


def _sources_in(line: bytes) -> list[str]:
    # Our CA's certificate alone lies in the same folder and has no such line.
    return [str(source) for source in json.loads(line[len(_SOURCES) :])] if line.startswith(_SOURCES) else []


def _roots_at(source: str) -> list[bytes]:
    """Return the certificates in a file, or in the files of a folder; none when it cannot be read."""
    path = Path(source)
    try:
        if path.is_dir():
            files = sorted(entry for entry in path.iterdir() if entry.is_file())
            return _unique(*(certificates_in(file.read_bytes()) for file in files))
        # Not a pipe or a device: reading one may never end.
        return _roots_of(path.read_bytes()) if path.is_file() else []
    except OSError:
        return []


def _roots_of(content: bytes) -> list[bytes]:
    return java_roots.roots_in_store(content) if java_roots.is_store(content) else certificates_in(content)


def _certifi_roots() -> list[bytes]:
    # `certifi` takes its time to load, and only a system without roots of its own needs it.
    import certifi  # noqa: PLC0415

    return certificates_in(certifi.contents().encode("ascii", "ignore"))


def _unique(*lists: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(certificate for each in lists for certificate in each))

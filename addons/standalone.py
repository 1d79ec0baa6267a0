"""One session inside a mitmproxy that somebody else runs: options in place of the command line, no daemon.

The journal and the scribe are the same; what a crash leaves is finished by `wiretape recover`. mitmproxy does not
drain when it stops: what is in flight then is interrupted.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from addons import compat
from addons.errors import ConfigError, ProxyError
from addons.home import home, journals
from addons.interceptor import Interceptor
from addons.live import LiveSession, SessionSpec
from addons.recorder import Recorder
from addons.scribe_keeper import ScribeKeeper
from addons.sessions import Sessions
from addons.settings import Layer, Settings, build_settings
from cassette import store
from cassette.errors import CassetteError
from cassette.exchange import Outcome
from cassette.files import make_private_folder
from cassette.journal import Kind, encode_failure
from cassette.recording import Recording
from cassette.times_file import remove_times
from cassette.wire import HostField

_log = logging.getLogger(__name__)
_NAME = "mitmproxy"
_FINISH_SECONDS = 600.0


class Standalone:
    """The addon that mitmdump loads."""

    def __init__(self) -> None:
        self._sessions = Sessions()
        self.addons = [Interceptor(self._sessions), Recorder(self._sessions)]
        self._scribe: ScribeKeeper | None = None
        self._directory: Path | None = None
        self._lock = threading.RLock()

    def load(self, loader: Loader) -> None:
        """Declare our options."""
        loader.add_option("wiretape_cassette", str, "", "Where to record, like cassettes/chat.yaml.")
        loader.add_option("wiretape_append", bool, False, "Go on behind what an existing cassette holds.")  # noqa: FBT003 - mitmproxy's signature
        loader.add_option("wiretape_overwrite", bool, False, "Replace an existing cassette.")  # noqa: FBT003
        loader.add_option(
            "wiretape_config", str, "", "File of settings, as `wiretape run --config` takes it."
        )
        loader.add_option("wiretape_hosts", Sequence[str], [], "Record these hosts too.")
        compat.install()

    def running(self) -> None:
        """Open the session. An error is logged, which ends mitmdump as it starts."""
        compat.set_options(ctx.options)
        try:
            self._open()
        except (ProxyError, CassetteError) as exc:
            _log.error("wiretape: %s", exc)
            ctx.master.shutdown()

    def _open(self) -> None:
        options = ctx.options
        if not options.wiretape_cassette:
            raise ConfigError("say where to record: --set wiretape_cassette=cassettes/chat.yaml")
        cassette = Path.cwd() / Path(options.wiretape_cassette).expanduser()
        settings = _settings(options.wiretape_config, options.wiretape_hosts)
        layout = settings.session.layout
        append, overwrite = options.wiretape_append, options.wiretape_overwrite
        if not store.create(cassette, layout, append=append, overwrite=overwrite):
            remove_times(cassette)
        self._directory = journals(home(os.environ)) / f"{_NAME}-{secrets.token_hex(4)}"
        make_private_folder(self._directory)
        host_field = HostField(settings.session.host_field)
        max_body = settings.limits.max_body
        keep_timing = settings.session.keep_timing
        recording = Recording(_NAME, cassette, layout, host_field, settings.headers, max_body, keep_timing)
        recording.save(self._directory)
        with self._lock:
            self._scribe = ScribeKeeper(self._lock, self._take_up)
        self._scribe.call("open", directory=str(self._directory))
        spec = SessionSpec(_NAME, self._directory, 0, settings.headers, settings.routers, max_body,
                           blocks=settings.session.on_record_failure == "block")  # fmt: skip
        self._sessions.default = LiveSession(spec, "w1")
        _log.info("wiretape: recording to %s", cassette)

    def done(self) -> None:
        """Close the session; hooks that come later find it closed."""
        session, self._sessions.default = self._sessions.default, None
        if session is None or session.journal is None or self._scribe is None:
            return
        for flight in session.in_flight.values():
            if flight.exchange is not None and not flight.exchange.closed:
                flight.exchange.end(Kind.FAILED, encode_failure(Outcome.CUT, "mitmproxy ended"))
        session.close()
        try:
            counts = self._scribe.insist(
                "finish",
                directory=str(self._directory),
                reason="mitmproxy ended",
                timeout_seconds=_FINISH_SECONDS,
            )
            _log.info(
                "wiretape: interactions=%d interrupted=%d", counts["interactions"], counts["interrupted"]
            )
            if counts["problem"]:
                _log.error("wiretape: %s; when it is solved: wiretape recover", counts["problem"])
        except (ProxyError, CassetteError) as exc:
            _log.error("wiretape: %s; finish it with: wiretape recover", exc)
        self._scribe.close(60)

    def _take_up(self) -> None:
        """Have a new scribe take up the journal where it stands."""
        assert self._scribe is not None
        try:
            self._scribe.call("open", directory=str(self._directory))
        except (ProxyError, CassetteError) as exc:
            _log.error("wiretape: %s; what is recorded is finished by: wiretape recover", exc)


def _settings(config: str, hosts: Sequence[str]) -> Settings:
    layers = []
    if config:
        from addons import configfile  # noqa: PLC0415 - brings the YAML library

        path = Path.cwd() / Path(config).expanduser()
        layers.append(Layer(str(path), configfile.read(path), base=path.parent))
    layers.append(Layer("wiretape_hosts", {"hosts": list(hosts)}, base=Path.cwd(), kind="option"))
    return build_settings(layers)

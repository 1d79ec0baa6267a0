"""Lets in only who logs in, where a session asks for it (RFC 9110, 11.7).

Who CONNECTs says it with that request, and the tunnel is theirs; of plain requests each has to say it. The header
goes no further than this.

On the common port everybody is asked: the user's name is that of the session. Its password is the session's, if that
has one, and else whatever the client likes. The first name that is right is the connection's; another one is refused.
"""

from __future__ import annotations

import logging

from mitmproxy import connection, exceptions, http

from addons import compat
from addons.access import Login, user_of
from addons.sessions import Sessions

_log = logging.getLogger(__name__)
_HEADER = "Proxy-Authorization"
_MOST_LOGGED = 100
"""Addresses of refused clients that are logged; the others are not, so that nobody can fill the log."""


class ProxyAuth:
    """The addon that asks for a name and a password. It stands before every addon that does something."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._inside: set[str] = set()
        """Client connections whose CONNECT was let through: what comes now comes through the tunnel."""
        self._logged: set[tuple[str, str]] = set()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Check a CONNECT."""
        self._check(flow)

    def http_connected(self, flow: http.HTTPFlow) -> None:
        """Remember that what follows on this connection is inside of a tunnel."""
        self._inside.add(flow.client_conn.id)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget the connection."""
        self._inside.discard(client.id)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Check a plain request; those inside of a tunnel were let in with it."""
        if flow.client_conn.id not in self._inside:
            self._check(flow)

    def _check(self, flow: http.HTTPFlow) -> None:
        try:
            refused = self._is_stranger(flow)
        except Exception:
            flow.kill()  # mitmproxy logs what an addon raises, and goes on as if nothing had been
            raise
        if refused:
            raise exceptions.AddonHalt  # nothing after us sees it

    def _is_stranger(self, flow: http.HTTPFlow) -> bool:
        """Refuse a request whose sender did not log in where that is asked for, and tell whether that is so."""
        if self._sessions.is_common(flow.client_conn):
            return self._names_no_session(flow)
        session = self._sessions.of(flow.client_conn)
        if session is None or session.spec.login is None:
            return False
        fields = flow.request.headers.get_all(_HEADER)
        flow.request.headers.pop(_HEADER, None)
        if session.spec.login.allows(fields):
            return False
        self._log(flow, session.spec.name)
        what = "the name or the password is wrong" if fields else "this proxy asks for a name and a password"
        _ask(flow, f"{what}; see: wiretape env")
        return True

    def _names_no_session(self, flow: http.HTTPFlow) -> bool:
        """Bind a connection to the common port to the session that is named; refuse it, and say so, without one."""
        fields = flow.request.headers.get_all(_HEADER)
        flow.request.headers.pop(_HEADER, None)
        bound, name = self._sessions.of(flow.client_conn), user_of(fields)
        session = self._sessions.named(name) if name is not None else None
        if session is None or session.closing:
            what = (
                "no open session has that name" if fields else "this port serves several sessions; name one"
            )
            _ask(
                flow,
                f"{what}: http://NAME@127.0.0.1:{self._sessions.common_port}, see: wiretape env --common",
            )
            return True
        login = session.spec.login
        if login is not None and not Login(session.spec.name, login.password).allows(fields):
            self._log(flow, session.spec.name)
            _ask(flow, "the password is wrong; see: wiretape env --common")
            return True
        if bound not in (None, session):
            why = "this connection belongs to another session; open one for each"
            compat.refuse(flow, compat.own_response(flow, 403, why))
            return True
        self._sessions.bind(flow.client_conn, session)
        return False

    def _log(self, flow: http.HTTPFlow, name: str) -> None:
        peer = str(flow.client_conn.peername[0])
        if (name, peer) not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add((name, peer))
            _log.warning("client.not_logged_in session=%s client=%s", name, peer)


def _ask(flow: http.HTTPFlow, why: str) -> None:
    response = compat.own_response(flow, 407, why)
    response.headers["Proxy-Authenticate"] = 'Basic realm="wiretape"'
    compat.refuse(flow, response)

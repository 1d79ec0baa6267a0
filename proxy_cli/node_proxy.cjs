// Written by wiretape; loaded into Node programs through NODE_OPTIONS=--require.
//
// Node from 22.21 and 24.5 on uses HTTPS_PROXY by itself when NODE_USE_ENV_PROXY is set, but only for what goes through
// its global agents. This file does the rest with what Node ships:
//
//   older versions     http, https and fetch (also the fetch and the request of undici from npm)
//   every version      agents that a program makes for itself, as SDKs do; http2.connect, as the AWS SDK uses it
//
// A connection that it cannot take over is left as it was; nothing here stops a program.
'use strict';
try {
  (() => {
    const proxyText = process.env.HTTPS_PROXY || process.env.https_proxy;
    if (!proxyText) return;
    const proxy = new URL(proxyText);
    if (proxy.protocol !== 'http:') return;

    const http = require('node:http');
    const http2 = require('node:http2');
    const https = require('node:https');
    const { isIP } = require('node:net');
    const { Duplex } = require('node:stream');
    const tls = require('node:tls');

    // What this file itself uses to reach the proxy, kept before anything is replaced.
    const original = {
      request: http.request,
      http: http.Agent.prototype.createConnection,
      https: https.Agent.prototype.createConnection,
      http2: http2.connect,
    };
    const proxyHost = proxy.hostname.replace(/^\[|\]$/g, '');
    const proxyPort = Number(proxy.port || 80);
    const exceptions = `${process.env.NO_PROXY || ''},${process.env.no_proxy || ''}`
      .toLowerCase()
      .split(/[\s,]+/)
      .filter(Boolean);

    function isExcepted(host, port) {
      if (host === proxyHost && Number(port) === proxyPort) return true;
      return exceptions.some((entry) => {
        if (entry === '*') return true;
        const [, name, only] = isIP(entry) ? [entry, entry] : /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry);
        if (only && Number(only) !== Number(port)) return false;
        const domain = name.replace(/^\*?\./, '');
        return host === domain || host.endsWith(`.${domain}`);
      });
    }

    function credentials() {
      if (!proxy.username) return {};
      const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
      return { 'Proxy-Authorization': `Basic ${Buffer.from(login).toString('base64')}` };
    }

    // Ask the proxy for a connection to host:port; `done(error)` or `done(null, socket)`, once.
    function openTunnel(host, port, done) {
      const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
      const request = original.request({
        agent: false,
        createConnection: original.http, // a plain socket, whatever becomes of the agents
        host: proxyHost,
        port: proxyPort,
        method: 'CONNECT',
        path: target,
        headers: { Host: target, ...credentials() },
      });
      request.once('connect', (response, socket, head) => {
        if (response.statusCode !== 200) {
          socket.destroy();
          done(new Error(`the proxy answered ${response.statusCode} to CONNECT ${target}`));
          return;
        }
        if (head.length > 0) socket.unshift(head);
        socket.setTimeout(0);
        done(null, socket);
      });
      request.once('response', (response) => {
        request.destroy();
        done(new Error(`the proxy answered ${response.statusCode} to CONNECT ${target}`));
      });
      request.once('error', done);
      request.end();
    }

    // A stream that can be written to before the connection behind it is there.
    class Awaited extends Duplex {
      constructor(host, port) {
        super({ autoDestroy: true });
        this._ready = new Promise((resolve, reject) => {
          openTunnel(host, port, (error, socket) => (error ? reject(error) : resolve(socket)));
        });
        this._ready.then(
          (socket) => {
            this._socket = socket;
            if (this.destroyed) return socket.destroy();
            socket.on('data', (data) => this.push(data) || socket.pause());
            socket.on('end', () => this.push(null));
            socket.on('error', (error) => this.destroy(error));
            socket.on('close', () => this.destroy());
          },
          (error) => this.destroy(error),
        );
      }
      _read() {
        this._ready.then((socket) => socket.resume(), () => {});
      }
      _write(data, encoding, done) {
        this._ready.then((socket) => socket.write(data, encoding, done), done);
      }
      _final(done) {
        this._ready.then((socket) => socket.end(done), done);
      }
      _destroy(error, done) {
        this._socket?.destroy();
        done(error);
      }
    }

    // --- agents of http and https ------------------------------------------------------------------------------------

    function throughTunnel(plain, defaultPort, secure) {
      return function createConnection(...args) {
        const [options, done] = args;
        // Some callers pass (port, host, options); those have an idea of their own, and so have agents with a proxy.
        if (typeof options !== 'object' || options === null) return plain.apply(this, args);
        if (typeof done !== 'function' && !secure) return plain.apply(this, args);
        const host = String(options.hostname || options.host || 'localhost').toLowerCase();
        const port = options.port || defaultPort;
        const isElsewhere = options.socketPath || options.socket || this?.options?.proxyEnv;
        if (isElsewhere || isExcepted(host, port)) return plain.apply(this, args);
        // An agent with a createConnection of its own around this one may want the socket at once (agentkeepalive does).
        if (secure && (typeof done !== 'function' || this?.createConnection !== createConnection)) {
          return plain.call(this, { ...options, socket: new Awaited(host, port) });
        }
        openTunnel(host, port, (error, socket) => {
          if (error) return done(error);
          try {
            done(null, secure ? plain.call(this, { ...options, socket }) : socket);
          } catch (failure) {
            socket.destroy();
            done(failure);
          }
        });
        return undefined;
      };
    }

    http.Agent.prototype.createConnection = throughTunnel(original.http, 80, false);
    https.Agent.prototype.createConnection = throughTunnel(original.https, 443, true);

    // --- http2.connect, which wants its stream at once ---------------------------------------------------------------

    http2.connect = function connect(authority, options, listener) {
      const given = typeof options === 'object' && options !== null ? options : {};
      try {
        const url = typeof authority === 'string' ? new URL(authority) : authority;
        const host = String(url.hostname || url.host || 'localhost').replace(/^\[|\]$/g, '').toLowerCase();
        const port = Number(url.port || 443);
        const secure = (url.protocol || 'https:') === 'https:';
        if (secure && !given.createConnection && !given.socket && !isExcepted(host, port)) {
          const createConnection = () => {
            const names = isIP(host) ? {} : { servername: host };
            return tls.connect({ ALPNProtocols: ['h2'], ...names, ...given, host, socket: new Awaited(host, port) });
          };
          const connected = typeof options === 'function' ? options : listener;
          return original.http2.call(this, authority, { ...given, createConnection }, connected);
        }
      } catch {
        // Left to Node, which says what is wrong with the arguments.
      }
      return original.http2.apply(this, arguments);
    };

    // --- fetch ---------------------------------------------------------------------------------------------------------

    // Node's fetch, and undici from npm, find their dispatcher under this symbol; its class makes more of them.
    function replaceDispatcher() {
      const symbol = Symbol.for('undici.globalDispatcher.1');
      void globalThis.Response; // loads Node's own undici, which puts its dispatcher there
      const direct = globalThis[symbol];
      if (direct?.constructor?.name !== 'Agent') return;
      const connect = ({ hostname, protocol, port, servername }, done) => {
        const host = hostname.replace(/^\[|\]$/g, '');
        const secure = protocol === 'https:';
        let answer = (error, socket) => {
          answer = () => {};
          done(error, socket);
        };
        openTunnel(host, port || (secure ? 443 : 80), (error, socket) => {
          if (error) return answer(error);
          if (!secure) return answer(null, socket);
          const names = isIP(host) ? {} : { servername: servername || host };
          const secured = tls.connect({ ...names, host, socket, ALPNProtocols: ['http/1.1'] });
          secured.once('secureConnect', () => answer(null, secured)).once('error', (failure) => answer(failure));
        });
      };
      const tunnels = new direct.constructor({ connect });
      const dispatch = tunnels.dispatch;
      tunnels.dispatch = function choose(options, handler) {
        const { hostname, port, protocol } = new URL(options.origin);
        const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
        const excepted = isExcepted(host, port || (protocol === 'https:' ? 443 : 80));
        return excepted ? direct.dispatch(options, handler) : dispatch.call(tunnels, options, handler);
      };
      Object.defineProperty(globalThis, symbol, { value: tunnels });
    }
    // On these versions Node has done it itself, from this very variable.
    if (!process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) replaceDispatcher();

    require('node:module').syncBuiltinESMExports(); // for `import { connect } from 'node:http2'`
  })();
} catch {
  // The program goes on as it would have without us.
}

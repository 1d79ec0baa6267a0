// Node before 24 has a fetch that knows no proxy: give it undici's agent, which reads HTTPS_PROXY and NO_PROXY.
const { EnvHttpProxyAgent, setGlobalDispatcher } = require("undici");

setGlobalDispatcher(new EnvHttpProxyAgent());

// Asks a URL with what is named and prints the status; runs in Node, Bun and Deno: `node probe.mjs URL fetch|https|http2`.
import https from 'node:https';
import http2 from 'node:http2';

const ways = {
  fetch: async (url) => (await fetch(url)).status,
  https: (url) =>
    new Promise((resolve, reject) => {
      https
        .get(url, { agent: new https.Agent({ keepAlive: false }) }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode));
        })
        .on('error', reject);
    }),
  http2: (url) =>
    new Promise((resolve, reject) => {
      const session = http2.connect(url).on('error', reject);
      const request = session.request({ ':path': new URL(url).pathname }).on('error', reject);
      request.once('response', (headers) => {
        resolve(headers[':status']);
        session.destroy();
      });
      request.end();
    }),
};

const [url, way] = (globalThis.Deno?.args ?? process.argv.slice(2));
try {
  console.log(await ways[way](url));
} catch (error) {
  console.error(error.cause?.message ?? error.message);
  process.exitCode = 1;
}

// Stream a POST with Node's fetch and print each piece as soon as it is there: URL, key and body from the arguments.
const [url, key, body] = process.argv.slice(2);
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
  body,
});
const decoder = new TextDecoder();
for await (const piece of response.body) {
  process.stdout.write(decoder.decode(piece, { stream: true }));
}
process.exitCode = response.status === 200 ? 0 : 1;

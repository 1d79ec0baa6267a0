// One plain and one streamed call with one of Node's clients, at the host that it asks by default.
//
// The argument names the client; keys come from the environment under the names that the SDKs know. An SDK prints
// the text that it got, a line for the plain call and one for the streamed one, each piece as soon as it is there;
// an HTTP client writes both bodies as it got them.
import https from "node:https";

const model = "made";
const question = "Wie warm ist es? 🌡";
const messages = [{ role: "user", content: question }];
const url = "https://api.openai.com/v1/chat/completions";
const write = (data) => process.stdout.write(data ?? "");
const body = (stream) => JSON.stringify({ model, messages, stream });
const headers = () => ({
  "Content-Type": "application/json",
  Authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
});

const clients = {
  async openai() {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ maxRetries: 0 });
    const answer = await client.chat.completions.create({ model, messages });
    write(answer.choices[0].message.content + "\n");
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      write(chunk.choices[0].delta.content);
    }
  },

  async "openai-responses"() {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ maxRetries: 0 });
    write((await client.responses.create({ model, input: question })).output_text + "\n");
    for await (const event of await client.responses.create({ model, input: question, stream: true })) {
      if (event.type === "response.output_text.delta") write(event.delta);
    }
  },

  async "@anthropic-ai/sdk"() {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    const client = new Anthropic({ maxRetries: 0 });
    const request = { model, max_tokens: 99, messages };
    write((await client.messages.create(request)).content[0].text + "\n");
    for await (const event of await client.messages.create({ ...request, stream: true })) {
      if (event.type === "content_block_delta") write(event.delta.text);
    }
  },

  async "@google/genai"() {
    const { GoogleGenAI } = await import("@google/genai");
    const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
    write((await client.models.generateContent({ model, contents: question })).text + "\n");
    for await (const chunk of await client.models.generateContentStream({ model, contents: question })) {
      write(chunk.text);
    }
  },

  async "@aws-sdk/client-bedrock-runtime"() {
    const aws = await import("@aws-sdk/client-bedrock-runtime");
    const client = new aws.BedrockRuntimeClient({ region: process.env.AWS_DEFAULT_REGION });
    const request = { modelId: model, messages: [{ role: "user", content: [{ text: question }] }] };
    const answer = await client.send(new aws.ConverseCommand(request));
    write(answer.output.message.content[0].text + "\n");
    const streamed = await client.send(new aws.ConverseStreamCommand(request));
    for await (const event of streamed.stream) write(event.contentBlockDelta?.delta.text);
    client.destroy(); // its HTTP/2 connection would keep the process
  },

  async axios() {
    const { default: axios } = await import("axios");
    const plain = await axios.post(url, body(false), { headers: headers(), responseType: "arraybuffer" });
    write(plain.data);
    const streamed = await axios.post(url, body(true), { headers: headers(), responseType: "stream" });
    for await (const data of streamed.data) write(data);
  },

  async undici() {
    const { request } = await import("undici");
    for (const stream of [false, true]) {
      const answer = await request(url, { method: "POST", headers: headers(), body: body(stream) });
      for await (const data of answer.body) write(data);
    }
  },

  async fetch() {
    for (const stream of [false, true]) {
      const answer = await fetch(url, { method: "POST", headers: headers(), body: body(stream) });
      for await (const data of answer.body) write(data);
    }
  },

  async "node:https"() {
    for (const stream of [false, true]) {
      const answer = await new Promise((resolve, reject) => {
        const request = https.request(url, { method: "POST", headers: headers() }, resolve);
        request.on("error", reject);
        request.end(body(stream));
      });
      for await (const data of answer) write(data);
    }
  },
};

await clients[process.argv[2]]();

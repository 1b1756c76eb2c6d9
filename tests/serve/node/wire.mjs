// The openai SDK for Node against a live endpoint: `node wire.mjs BASE_URL KEY`. Prints what it found as JSON.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "brief";
const messages = [{ role: "user", content: "Good morning, 你好 😀" }];
const found = {};

found.models = (await client.models.list()).data.map((one) => one.id);
found.model = (await client.models.retrieve(model)).id;

const whole = await client.chat.completions.create({ model, messages });
found.whole = whole.choices[0].message.content;

const { data, response, request_id } = await client.chat.completions
  .create({ model, messages: [{ role: "developer", content: "Be kind." }, ...messages] })
  .withResponse();
found.normalised = response.headers.get("x-persona-factory-normalised");
found.requestId = Boolean(request_id) && data.choices.length === 1;

let text = "";
const stream = await client.chat.completions.create({
  model, messages, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  found.usage = chunk.usage ?? found.usage;
}
found.streamed = text;

// The helper checks role, finish reason and the identity of everything it puts together.
const helper = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
let deltas = "";
helper.on("content", (delta) => (deltas += delta));
const final = await helper.finalChatCompletion();
found.helper = { deltas, content: final.choices[0].message.content, reason: final.choices[0].finish_reason };
found.counted = (await helper.totalUsage()).completion_tokens;

const answer = await client.responses.create({ model, instructions: "Be kind.", input: "Good morning" });
found.response = { text: answer.output_text, status: answer.status };

const kinds = [];
const events = client.responses.stream({ model, input: "Good morning" });
for await (const event of events) kinds.push(event.type);
found.events = [kinds[0], kinds.at(-1)];
found.responseStreamed = (await events.finalResponse()).output_text;

const aborted = await client.chat.completions.create({ model, messages, stream: true });
for await (const chunk of aborted) {
  found.left = chunk.object;
  break; // aborts the request
}

const refusals = {};
const tries = {
  missing: () => client.chat.completions.create({ model: "other", messages }),
  invalid: () => client.chat.completions.create({ model, messages, temperature: 9 }),
  denied: () => new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(),
  embeddings: () => client.embeddings.create({ model, input: "a" }),
};
for (const [name, attempt] of Object.entries(tries)) {
  try {
    await attempt();
    refusals[name] = "nothing was refused";
  } catch (error) {
    refusals[name] = [error.constructor.name, error.status, error.code];
  }
}
found.refusals = refusals;

console.log(JSON.stringify(found));

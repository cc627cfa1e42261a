// Transcribes a file and then the same live, by Deepgram's own client: deepgram.mjs SERVER FILE RAW
// RAW is the sound as 16-bit samples at 16 kHz. One line of JSON tells the texts and the types of the messages.
import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const [, , server, file, raw] = process.argv;
const client = new DeepgramClient({
  apiKey: "none",
  environment: { base: server, production: server.replace(/^http/, "ws"), agent: server, agentRest: server },
});
const answer = await client.listen.v1.media.transcribeFile(readFileSync(file), { model: "nova-3", language: "en", smart_format: true });
const whole = answer.results.channels[0].alternatives[0].transcript;

const socket = await client.listen.v1.connect({
  model: "nova-3", language: "en", encoding: "linear16", sample_rate: 16000, interim_results: "true", vad_events: "true", punctuate: "true",
  reconnectAttempts: 0,
});
const finals = [], types = [];
const closed = new Promise((resolve, reject) => {
  socket.on("message", (m) => {
    types.push(m.type);
    if (m.type === "Results" && m.is_final) finals.push(m.channel.alternatives[0].transcript);
  });
  socket.on("close", (e) => resolve(e.code));
  socket.on("error", reject);
});
socket.connect();
await socket.waitForOpen();
const sound = readFileSync(raw);
for (let at = 0; at < sound.length; at += 6400) socket.sendMedia(sound.subarray(at, at + 6400));
socket.sendKeepAlive({ type: "KeepAlive" });
socket.sendFinalize({ type: "Finalize" });
socket.sendCloseStream({ type: "CloseStream" });
const code = await closed;
console.log(JSON.stringify({ file: whole, live: finals.join(" "), types, code }));
process.exit(0);

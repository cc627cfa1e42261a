// Transcribes live by OpenAI's own client: openai.mjs SERVER RAW
// RAW is the sound as 16-bit samples at 24 kHz. One line of JSON tells the text and the types of the events.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [, , server, raw] = process.argv;
const client = new OpenAI({ apiKey: "none", baseURL: server + "/v1" });
const rt = new OpenAIRealtimeWS({ model: "gpt-4o-transcribe" }, client);
const types = [];
let deltas = "";
rt.on("event", (e) => types.push(e.type));
rt.on("error", (e) => {
  console.error(e);
  process.exit(1);
});
rt.on("session.created", () =>
  rt.send({
    type: "session.update",
    session: {
      type: "transcription",
      audio: {
        input: {
          format: { type: "audio/pcm", rate: 24000 },
          transcription: { model: "gpt-4o-transcribe", language: "en" },
          turn_detection: { type: "server_vad", threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 400 },
        },
      },
    },
  }));
rt.on("session.updated", () => {
  const sound = readFileSync(raw);
  for (let at = 0; at < sound.length; at += 9600)
    rt.send({ type: "input_audio_buffer.append", audio: sound.subarray(at, at + 9600).toString("base64") });
});
rt.on("conversation.item.input_audio_transcription.delta", (e) => (deltas += e.delta));
rt.on("conversation.item.input_audio_transcription.completed", (e) => {
  console.log(JSON.stringify({ text: e.transcript, deltas, types }));
  rt.close();
  setTimeout(() => process.exit(0), 50);
});

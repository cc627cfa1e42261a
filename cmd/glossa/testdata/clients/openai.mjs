// Transcribes the clip by OpenAI's client: as a file in several formats, as a stream, translated, and live. It writes what it
// got as JSON.
import { createReadStream } from 'node:fs';
import { BASE, CLIP, KEY, load, speak, within } from './common.mjs';

const { OpenAI } = await load('openai');
const { OpenAIRealtimeWS } = await load('openai/realtime/ws');
const client = new OpenAI({ apiKey: KEY, baseURL: `${BASE}/v1`, maxRetries: 0 });
const file = () => createReadStream(CLIP);
const got = {};

got.models = (await client.models.list()).data.map((m) => m.id);
got.json = await client.audio.transcriptions.create({ file: file(), model: 'whisper-1' });
got.verbose = await client.audio.transcriptions.create({
  file: file(), model: 'whisper-1', response_format: 'verbose_json', timestamp_granularities: ['word', 'segment'], language: 'en', temperature: 0,
});
got.srt = await client.audio.transcriptions.create({ file: file(), model: 'whisper-1', response_format: 'srt' });
got.stream = [];
for await (const event of await client.audio.transcriptions.create({ file: file(), model: 'gpt-4o-transcribe', stream: true })) got.stream.push(event);
got.translation = await client.audio.translations.create({ file: file(), model: 'whisper-1' });
try {
  await client.audio.transcriptions.create({ file: file(), model: 'none-such' });
} catch (e) {
  got.error = { name: e.constructor.name, status: e.status, code: e.code };
}
try {
  await new OpenAI({ apiKey: 'wrong-wrong', baseURL: `${BASE}/v1`, maxRetries: 0 }).models.list();
} catch (e) {
  got.denied = { name: e.constructor.name, status: e.status };
}

// A transcription session of the Realtime API.
const live = new OpenAIRealtimeWS({ model: 'gpt-4o-transcribe' }, client);
const told = (type) => new Promise((done, fail) => { live.on(type, done); live.on('error', fail); });
got.live = { types: [], deltas: '' };
live.on('event', (e) => got.live.types.push(e.type));
live.on('conversation.item.input_audio_transcription.delta', (e) => { got.live.deltas += e.delta; });
const updated = told('session.updated');
const completed = told('conversation.item.input_audio_transcription.completed');
await within(10, 'the connection', new Promise((done) => live.socket.on('open', done)));
live.send({
  type: 'session.update',
  session: {
    type: 'transcription',
    audio: { input: { format: { type: 'audio/pcm', rate: 24000 }, transcription: { model: 'gpt-4o-transcribe', language: 'en' }, turn_detection: { type: 'server_vad', silence_duration_ms: 500 } } },
  },
});
got.live.session = (await within(10, 'session.updated', updated)).session;
await speak(24000, (sound) => live.send({ type: 'input_audio_buffer.append', audio: sound.toString('base64') }));
got.live.transcript = (await within(20, 'the transcript', completed)).transcript;
live.close();
console.log(JSON.stringify(got, null, 2));

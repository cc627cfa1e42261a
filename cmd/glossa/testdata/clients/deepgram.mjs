// Transcribes the clip by Deepgram's client: as a file, and live. It writes what it got as JSON.
import { createReadStream } from 'node:fs';
import { BASE, CLIP, KEY, load, speak, within } from './common.mjs';

const { DeepgramClient } = await load('@deepgram/sdk');
const socket = BASE.replace('http', 'ws');
const client = new DeepgramClient({ apiKey: KEY, environment: { base: BASE, production: socket, agent: socket, agentRest: BASE } });
const got = {};

got.file = await client.listen.v1.media.transcribeFile(createReadStream(CLIP), { model: 'nova-3', language: 'en', punctuate: true });

const live = await client.listen.v1.connect({
  model: 'nova-3', language: 'en', interim_results: 'true', encoding: 'linear16', sample_rate: 16000, channels: 1,
  utterance_end_ms: '1000', vad_events: 'true', endpointing: 300,
});
got.live = [];
const closed = new Promise((done, fail) => { live.on('close', done); live.on('error', fail); });
live.on('message', (m) => got.live.push(m));
live.connect();
await within(10, 'the connection', live.waitForOpen());
live.sendKeepAlive({ type: 'KeepAlive' });
await speak(16000, (sound) => live.sendMedia(sound));
live.sendFinalize({ type: 'Finalize' });
live.sendCloseStream({ type: 'CloseStream' });
await within(20, 'the end', closed);
console.log(JSON.stringify(got, null, 2));
process.exit(0);

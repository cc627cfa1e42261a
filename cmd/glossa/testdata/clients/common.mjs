// What the scripts share. The environment says: BASE, the server's address, https://; KEY; CLIP, a WAV file of 16-bit samples at 16 kHz;
// MODULES, the folder that the clients are installed in; NODE_EXTRA_CA_CERTS, the server's certificate.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const { BASE, KEY, CLIP, MODULES } = process.env;

// load imports an installed module, by its name.
const require = createRequire(join(MODULES, 'package.json'));
export const load = (name) => import(pathToFileURL(require.resolve(name)).href).then((m) => ({ ...m.default, ...m }));

// samples returns those of the clip, at another rate by linear interpolation.
export function samples(rate) {
  const file = readFileSync(CLIP);
  const data = file.indexOf('data') + 8;
  const n = (file.length - data) >> 1;
  const out = Buffer.alloc(2 * Math.floor((n * rate) / 16000));
  for (let i = 0; 2 * i < out.length; i++) {
    const at = (i * 16000) / rate;
    const k = Math.min(Math.floor(at), n - 1);
    const [a, b] = [file.readInt16LE(data + 2 * k), file.readInt16LE(data + 2 * Math.min(k + 1, n - 1))];
    out.writeInt16LE(Math.round(a + (b - a) * (at - k)), 2 * i);
  }
  return out;
}

// speak calls send with the clip and a second of silence, chunk by chunk, in real time.
export async function speak(rate, send) {
  const sound = Buffer.concat([samples(rate), Buffer.alloc(2 * rate)]);
  const chunk = 2 * Math.floor(rate / 10);
  for (let at = 0; at < sound.length; at += chunk) {
    send(sound.subarray(at, at + chunk));
    await new Promise((done) => setTimeout(done, 100));
  }
}

// within gives up on a promise after some seconds.
export const within = (seconds, what, promise) =>
  Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error(`${what}: nothing for ${seconds} s`)), 1000 * seconds).unref())]);

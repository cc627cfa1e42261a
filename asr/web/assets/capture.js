// The microphone.

// CaptureError says in plain words why there is no sound.
export class CaptureError extends Error {}

const REASONS = {
  NotAllowedError: 'The browser does not let this page use the microphone. Allow it by the symbol beside the address, and start again.',
  NotFoundError: 'No microphone was found. Connect one and start again, or open a sound file.',
  NotReadableError: 'The microphone cannot be used now. Perhaps another program has it.',
  SecurityError: 'The browser does not let this page use the microphone.',
};

// WANTED is sound as it is: a recogniser is better served by noise than by what suppression makes of speech, and what it hears is
// brought to one level by its log-mel.
const WANTED = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

// RATE is that of the model's sound, in Hz. The browser resamples to it; where it does not, the server does.
const RATE = 16000;

// openMicrophone asks for the microphone. onpiece is called with each piece, {pcm: Int16Array, peak, rms}, and
// onend where the microphone goes away. It returns {rate, stop}; stop returns when the last piece was given.
export async function openMicrophone(onpiece, onend) {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new CaptureError('Browsers give a page the microphone only over https, or at localhost. Open this page so; sound files work here too.');
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
  } catch (err) {
    throw new CaptureError(REASONS[err.name] ?? `There is no sound of the microphone: ${err.message}`);
  }
  try {
    return await connect(stream, onpiece, onend);
  } catch (err) {
    for (const track of stream.getTracks()) track.stop();
    throw new CaptureError(`The browser cannot read the microphone: ${err.message}`);
  }
}

async function connect(stream, onpiece, onend) {
  const { context, source } = open(stream);
  await context.audioWorklet.addModule(new URL('worklet.js', import.meta.url));
  await context.resume();
  const node = new AudioWorkletNode(context, 'capture', { numberOfInputs: 1, numberOfOutputs: 0 });
  let flushed;
  const end = new Promise((resolve) => { flushed = resolve; });
  node.port.onmessage = ({ data }) => (data.flushed ? flushed() : onpiece(data));
  source.connect(node);
  stream.getAudioTracks()[0].addEventListener('ended', onend);
  return {
    rate: context.sampleRate,
    async stop() {
      node.port.postMessage('stop');
      await Promise.race([end, new Promise((resolve) => { setTimeout(resolve, 500); })]);
      source.disconnect();
      for (const track of stream.getTracks()) track.stop();
      await context.close();
    },
  };
}

// open makes a context of the model's rate, or of the device's in browsers that do not join the two.
function open(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return { context, source: context.createMediaStreamSource(stream) };
  } catch {
    context.close();
    const own = new AudioContext();
    return { context: own, source: own.createMediaStreamSource(stream) };
  }
}

// Sound files that are transcribed one after the other, each a take of the transcript with its progress.
import { finalsOf, transcribeFile } from './files.js';
import { askKey } from './keydialog.js';
import { KeyNeeded } from './server.js';

// COMING is the segment that shows text whose times are not known yet.
const COMING = 'coming';

export class Uploads {
  constructor(transcript, settings, notice) {
    this.transcript = transcript;
    this.settings = settings;
    this.notice = notice;
    this.queue = Promise.resolve();
    this.waiting = 0;
  }

  add(files) {
    this.notice.hide();
    for (const file of files) {
      const take = this.transcript.begin(file.name);
      take.note.textContent = 'Waiting';
      this.waiting++;
      this.queue = this.queue.then(() => this.transcribe(file, take)).finally(() => this.waiting--);
    }
  }

  get busy() {
    return this.waiting > 0;
  }

  async transcribe(file, take) {
    const progress = document.createElement('progress');
    progress.max = 1;
    progress.setAttribute('aria-label', `Progress of ${file.name}`);
    const status = document.createElement('span');
    status.textContent = 'Sending';
    take.note.replaceChildren(status, ' ', progress);
    const on = {
      sent(share) {
        progress.value = share;
        if (share < 1) return;
        progress.removeAttribute('value'); // how long the rest takes, nobody knows
        status.textContent = 'Transcribing';
      },
      delta: (text) => this.coming(take, text),
      segment: (s) => this.settle(take, finalsOf({ segments: [s] })),
    };
    try {
      const answer = await transcribeFile(file, this.settings.fields(), on);
      const finals = finalsOf(answer);
      if (take.finals.length === 0) this.settle(take, finals);
      else if (finals.length === take.finals.length) finals.forEach((f, i) => take.describe(i, f));
      take.length = Math.round((answer.duration ?? 0) * 1000);
      take.note.textContent = take.finals.length > 0 ? '' : 'No speech was found';
    } catch (err) {
      take.note.textContent = 'Not transcribed';
      const retry = () => this.add([file]);
      if (err instanceof KeyNeeded) askKey(err.message, retry);
      else this.notice.show(`${file.name}: ${err.message}`, { bad: true, action: 'Try again', run: retry });
    }
    take.end();
  }

  // coming shows text that has no times yet.
  coming(take, text) {
    if (take.finals.length > 0) return;
    take.partial({ segment_id: COMING, start: 0, tentative: text });
  }

  // settle adds segments with their times.
  settle(take, finals) {
    const coming = take.segments.get(`${take.generation}.${COMING}`);
    if (coming) take.withdraw(coming);
    for (const f of finals) take.final({ ...f, segment_id: take.finals.length });
  }
}

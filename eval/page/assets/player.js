// One player for all clips. What shows it is told by events of the document: 'sound', with the number of the utterance.
const player = {
  audio: new Audio(),
  at: -1, // the utterance that is loaded
  url: '',

  // load takes the sound of an utterance. It is kept as text until then.
  load(at) {
    if (at === this.at) return;
    const { textContent, dataset } = byID(`clip-${at}`);
    const bytes = Uint8Array.from(atob(textContent), (c) => c.charCodeAt(0));
    this.audio.pause();
    if (this.url) URL.revokeObjectURL(this.url);
    const before = this.at;
    this.url = URL.createObjectURL(new Blob([bytes], { type: dataset.media }));
    this.at = at;
    this.failed = false;
    this.audio.src = this.url;
    this.tell(before);
  },

  // toggle plays an utterance, or pauses it.
  toggle(at) {
    this.load(at);
    if (!this.audio.paused) this.audio.pause();
    else this.audio.play().catch(() => this.tell(at)); // it was paused at once, or fails as below
  },

  playing(at) {
    return at === this.at && !this.audio.paused && !this.audio.ended;
  },

  tell(at) {
    document.dispatchEvent(new CustomEvent('sound', { detail: at }));
  },
};

for (const event of ['play', 'pause', 'ended', 'timeupdate', 'durationchange', 'seeked']) {
  player.audio.addEventListener(event, () => player.tell(player.at));
}
player.audio.addEventListener('error', () => {
  player.failed = true;
  player.tell(player.at);
});

// The seeker moves smoothly, which the events of the sound, four a second, do not.
function animate() {
  if (!player.playing(player.at)) return;
  player.tell(player.at);
  requestAnimationFrame(animate);
}
player.audio.addEventListener('playing', animate);

// told is a position and a length: seconds, and minutes where there are any.
const told = (at, length) => (length < 60 ? `${at.toFixed(1)} / ${length.toFixed(1)} s` : `${clock(at)} / ${clock(length)}`);

// playerOf draws the controls of an utterance.
function playerOf(utterance) {
  const button = element('button', { type: 'button', class: 'plain toggle' });
  const seek = element('input', { type: 'range', min: 0, max: 1, step: 'any', value: 0, 'aria-label': 'Position' });
  const time = element('span', { class: 'time' });
  const bar = element('div', { class: 'player' }, button, seek, time);
  button.addEventListener('click', () => player.toggle(utterance.at));
  seek.addEventListener('input', () => {
    player.load(utterance.at);
    const { duration } = player.audio;
    if (Number.isFinite(duration)) player.audio.currentTime = seek.value * duration;
  });
  const update = () => {
    const mine = player.at === utterance.at;
    const { currentTime, duration } = player.audio;
    const length = mine && Number.isFinite(duration) ? duration : utterance.duration ?? 0;
    button.textContent = player.playing(utterance.at) ? 'Pause' : 'Play';
    seek.value = mine && length > 0 ? currentTime / length : 0;
    seek.setAttribute('aria-valuetext', `${(mine ? currentTime : 0).toFixed(1)} s`);
    time.textContent = mine && player.failed ? 'This browser cannot play it' : told(mine ? currentTime : 0, length);
  };
  bar.update = update;
  update();
  return bar;
}

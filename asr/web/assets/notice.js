// A message above the recorder, with at most one thing to do about it.
const $ = (id) => document.getElementById(id);

// How long a brief message stays, in milliseconds.
const BRIEF = 4000;

export class Notice {
  constructor() {
    $('notice-close').addEventListener('click', () => this.hide());
    $('notice-action').addEventListener('click', () => {
      const { run } = this;
      this.hide();
      run?.();
    });
  }

  // show shows a text: bad where something failed, brief where it goes by itself, with action the name of run.
  show(text, { bad = false, brief = false, action = '', run = null }) {
    clearTimeout(this.timer);
    this.run = run;
    $('notice').classList.toggle('bad', bad);
    $('notice').hidden = false;
    $('notice-text').textContent = text;
    $('notice-action').textContent = action;
    $('notice-action').hidden = !action;
    if (brief) this.timer = setTimeout(() => this.hide(), BRIEF);
  }

  hide() {
    clearTimeout(this.timer);
    $('notice').hidden = true;
    $('notice-text').textContent = '';
  }
}

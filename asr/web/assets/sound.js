// Sound that was recorded, and may have to be sent again. Positions are samples since the recording's beginning.
export class SoundBuffer {
  // limit is the greatest number of samples that are kept.
  constructor(limit) {
    this.limit = limit;
    this.pieces = []; // {at, pcm}, one behind the other
    this.begin = 0; // of what is kept
    this.end = 0;
    this.next = 0; // to send
  }

  push(pcm) {
    this.pieces.push({ at: this.end, pcm });
    this.end += pcm.length;
    if (this.end - this.begin > this.limit) this.drop(this.end - this.limit);
  }

  // drop lets go of what is before a position.
  drop(position) {
    while (this.pieces.length > 0 && this.pieces[0].at + this.pieces[0].pcm.length <= position) this.pieces.shift();
    this.begin = this.pieces.length > 0 ? Math.max(this.begin, Math.min(position, this.end), this.pieces[0].at) : this.end;
    this.next = Math.max(this.next, this.begin);
  }

  // seek goes back, or on, to a position, and returns it: the first that is kept where that one is not.
  seek(position) {
    this.next = Math.max(this.begin, Math.min(position, this.end));
    return this.next;
  }

  // take returns at most max samples of those that are next, null where there are none.
  take(max) {
    if (this.next >= this.end) return null;
    let i = this.pieces.length - 1;
    while (this.pieces[i].at > this.next) i--;
    const { at, pcm } = this.pieces[i];
    const piece = pcm.subarray(this.next - at, Math.min(pcm.length, this.next - at + max));
    this.next += piece.length;
    return piece;
  }
}

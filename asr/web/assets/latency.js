// Commit latency as the reader has it: from the end of a word to when its text was committed on the page.

// Words that the median is of.
const WORDS = 20;

export class CommitLatency {
  constructor() {
    this.clear();
  }

  clear() {
    this.offset = Infinity; // the moment of the recording's beginning, in milliseconds of performance.now()
    this.commits = new Map(); // by segment: [{length, at}] of committed text since its last final
    this.latest = [];
  }

  // recorded says that sound up to a time, in milliseconds, is there now. The earliest moment counts: others waited.
  recorded(ms) {
    this.offset = Math.min(this.offset, performance.now() - ms);
  }

  // partial notes what is committed since when.
  partial({ segment_id: id, committed = '' }) {
    const commits = this.commits.get(id) ?? [];
    if (committed.length > (commits.at(-1)?.length ?? 0)) commits.push({ length: committed.length, at: performance.now() });
    this.commits.set(id, commits);
  }

  // final takes the latencies of its words.
  final({ segment_id: id, words = [] }) {
    const commits = this.commits.get(id) ?? [];
    this.commits.delete(id);
    let length = 0;
    for (const w of words) {
      length += w.word.length;
      const at = commits.find((c) => c.length >= length)?.at ?? performance.now();
      this.latest.push(Math.max(0, at - this.offset - w.end));
    }
    this.latest = this.latest.slice(-WORDS);
  }

  // median is that of the last words, in milliseconds, null before the first.
  get median() {
    if (this.latest.length === 0) return null;
    return [...this.latest].sort((a, b) => a - b)[this.latest.length >> 1];
  }
}

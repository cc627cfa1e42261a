package flora

import (
	"context"
	"io/fs"

	"glossa/whisper"
)

// Over is how much longer a linear is predicted to take, in seconds, under a strategy and factors than without.
func (c *Costs) Over(s Strategy, l *whisper.Linear, f *Factors, load Load) float64 {
	return c.of(PhaseOf(l.Site)).over(s, newJob(l, f), load)
}

// Watch is WatchDir on any file system; dir is what it is called in messages.
func (b *Bank) Watch(ctx context.Context, fsys fs.FS, dir string, o WatchOptions) error {
	return b.watch(ctx, origin{fsys, dir}, o)
}

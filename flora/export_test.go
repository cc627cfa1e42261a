package flora

import (
	"context"
	"io/fs"
)

// Watch is WatchDir on any file system; dir is what it is called in messages.
func (b *Bank) Watch(ctx context.Context, fsys fs.FS, dir string, o WatchOptions) error {
	return b.watch(ctx, origin{fsys, dir}, o)
}

package flora

import (
	"context"
	"io/fs"
)

// Watch is WatchDir on any file system; dir is what it is called in messages.
func (b *Bank) Watch(ctx context.Context, fsys fs.FS, dir string, o WatchOptions) error {
	return b.watch(ctx, origin{fsys, dir}, o)
}

// RegisterFS is Register on any file system.
func (b *Bank) RegisterFS(name string, fsys fs.FS, dir string) {
	b.mu.Lock()
	v := &version{name: name, origin: origin{fsys, dir}}
	b.versions[v] = struct{}{}
	b.point(name, v, nil)
	b.shrinkUnlock()
}

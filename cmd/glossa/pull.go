package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"

	"glossa/whisper/hub"
)

type pullCommand struct {
	Names []string `arg:"" name:"name" help:"A model or an adapter: ORGANISATION/NAME[@REVISION], one file of a repository: ORGANISATION/NAME[@REVISION]:FILE, or a short name of a Whisper model."`
}

// Help is shown by "glossa help pull".
func (pullCommand) Help() string {
	return `What is pulled lies in the cache of Hugging Face, which transformers and others share: ~/.cache/huggingface/hub, or
where HF_HUB_CACHE or HF_HOME say. There --model and --adapter-dir find it under the same name, without any network.
Every file is checked against its hash, also when it is there already. A pull that was interrupted goes on where it was.

HF_TOKEN opens private and gated repositories; HF_ENDPOINT names another hub.

Short names: ` + strings.Join(hub.Aliases(), " ") + `

Examples:

    glossa pull turbo
    glossa pull openai/whisper-small@main
    glossa pull ggerganov/whisper.cpp:ggml-base-q5_1.bin
    glossa transcribe --model turbo talk.wav`
}

// Run pulls one after the other and prints where each is.
func (p *pullCommand) Run(ctx context.Context, c *console) error {
	var refs []hub.Ref
	for _, name := range p.Names {
		ref, err := hub.ParseRef(name)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	client, err := hub.DefaultClient()
	if err != nil {
		return err
	}
	for _, ref := range refs {
		item, err := pull(ctx, c, client, ref)
		if err != nil {
			if ctx.Err() != nil {
				c.note("what has come of %s is kept: the same command goes on with it", ref)
			}
			return err
		}
		c.note("%s: %s, %s, revision %s", ref, item.Kind, formatBytes(item.Size), formatRevision(ref.Revision, item.Commit))
		if err := c.print(item.Path + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// pull pulls under a progress bar.
func pull(ctx context.Context, c *console, client *hub.Client, ref hub.Ref) (hub.Item, error) {
	begun := false
	defer c.stop()
	return client.Pull(ctx, ref, func(p hub.Progress) {
		if !begun {
			begun = true
			c.start(p.Total, progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true))
		}
		c.advance(p.Done, "%s", p.File)
	})
}

// localPath returns where the model or adapter called name is, a path or what was pulled, and the last part of its name.
func localPath(name string) (where, short string, err error) {
	ref, err := hub.ParseRef(name)
	if _, missing := os.Stat(name); missing == nil || err != nil {
		return name, filepath.Base(name), nil // and who opens it says what is wrong with it
	}
	cache, err := hub.DefaultCache()
	if err != nil {
		return "", "", err
	}
	item, err := cache.Find(ref)
	if errors.Is(err, hub.ErrNotPulled) {
		err = fmt.Errorf("%s: no such file or directory, and not pulled: run \"glossa pull %s\"", name, name)
	}
	return item.Path, path.Base(ref.Repo), err
}

// formatRevision is a branch or a tag, and the beginning of its commit.
func formatRevision(revision, commit string) string {
	const digits = 7 // as git abbreviates
	if revision == commit {
		return commit[:digits]
	}
	return revision + " " + commit[:digits]
}

// formatBytes is a size in decimal units, of three digits.
func formatBytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	x := float64(n)
	for len(units) > 1 && x >= 999.5 {
		x, units = x/1000, units[1:]
	}
	if x < 9.95 && n >= 1000 {
		return fmt.Sprintf("%.1f %s", x, units[0])
	}
	return fmt.Sprintf("%.0f %s", x, units[0])
}

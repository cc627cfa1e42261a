package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCheckWrites leaves the disk as it was, whatever it finds.
func TestCheckWrites(t *testing.T) {
	dir := t.TempDir()
	in, link := filepath.Join(dir, "in"), filepath.Join(dir, "link")
	if err := os.WriteFile(in, []byte("data"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	free := filepath.Join(dir, "free")
	for name, c := range map[string]struct {
		outputs []output
		wrong   bool
	}{
		"a new file":       {[]output{{"--html", free}}, false},
		"none":             {[]output{{"--html", ""}}, false},
		"a device":         {[]output{{"--html", os.DevNull}}, false},
		"an input":         {[]output{{"--html", filepath.Join(dir, ".", "in")}}, true},
		"a link to one":    {[]output{{"--html", link}}, true},
		"one file twice":   {[]output{{"--html", free}, {"--hypotheses", free}}, true},
		"a folder":         {[]output{{"--html", dir}}, true},
		"no folder":        {[]output{{"--html", filepath.Join(dir, "gone", "x")}}, true},
		"a file as folder": {[]output{{"--html", filepath.Join(in, "x")}}, true},
	} {
		if err := checkWrites([]string{"", in}, c.outputs...); (err != nil) != c.wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := os.ReadFile(in); err != nil || string(data) != "data" {
		t.Errorf("the input is %q, %v", data, err)
	}
	if _, err := os.Stat(free); err == nil {
		t.Error("a file was left behind")
	}
}

// TestRemoveHalf takes files away, and nothing else.
func TestRemoveHalf(t *testing.T) {
	dir := t.TempDir()
	half, link := filepath.Join(dir, "half"), filepath.Join(dir, "link")
	if err := os.WriteFile(half, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{half, link, filepath.Join(dir, "gone")} {
		removeHalf(path)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("half a file stays")
	}
	if _, err := os.Lstat(link); err != nil {
		t.Error(err)
	}
}

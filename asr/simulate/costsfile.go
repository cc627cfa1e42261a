package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
)

// ReadCosts reads costs from JSON. The errors of what it says wrap ErrCosts.
func ReadCosts(r io.Reader) (*Costs, error) {
	var c Costs
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("%w: %w; is it a file of \"glossa bench costs\", of this version?", ErrCosts, err)
	}
	return &c, c.Check()
}

// WriteCosts checks costs and writes them as JSON that ReadCosts reads.
func WriteCosts(w io.Writer, c *Costs) error {
	if err := c.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err == nil {
		_, err = w.Write(append(compactLists(text), '\n'))
	}
	return err
}

// Parts of indented JSON that fit on a line: lists of numbers and texts, and objects of these.
var (
	flatList   = regexp.MustCompile(`\[[^\[\]{}]*\]`)
	flatObject = regexp.MustCompile(`\{[^{}]{0,200}\}`)
	lineBreak  = regexp.MustCompile(`\n *`)
)

// compactLists puts the points of indented JSON on a line each.
func compactLists(text []byte) []byte {
	join := func(part []byte) []byte { return lineBreak.ReplaceAll(part, nil) }
	spaced := func(part []byte) []byte {
		return lineBreak.ReplaceAll(join(bytes.ReplaceAll(part, []byte(",\n"), []byte(", \n"))), nil)
	}
	return flatObject.ReplaceAllFunc(flatList.ReplaceAllFunc(text, spaced), spaced)
}

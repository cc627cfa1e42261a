package flora

import (
	"maps"
	"slices"
	"strings"

	"glossa/whisper"
)

// shortName returns the name of a site within its block, "self_attn.q_proj".
func shortName(s whisper.Site) string {
	_, name, _ := strings.Cut(s.String(), ".layers.")
	_, name, _ = strings.Cut(name, ".")
	return name
}

// targetNames returns a list for target_modules that has the wanted sites of the adapter: names within blocks
// where, as far as the adapter tells, all blocks have them that can, else whole names.
func (a *Adapter) targetNames(wanted func(whisper.Site) bool) []string {
	var layers [2]int // of each stack, as far as the adapter tells
	sites := make(map[whisper.Role][]whisper.Site)
	for _, s := range a.sortedSites() {
		layers[s.Stack] = max(layers[s.Stack], s.Layer+1)
		if wanted(s) {
			sites[s.Role] = append(sites[s.Role], s)
		}
	}
	var names []string
	for _, role := range slices.Sorted(maps.Keys(sites)) {
		all := layers[whisper.DecoderStack]
		if _, ok := whisper.ParseSite(whisper.Site{Stack: whisper.EncoderStack, Role: role}.String()); ok {
			all += layers[whisper.EncoderStack]
			if layers[whisper.EncoderStack] == 0 || layers[whisper.DecoderStack] == 0 {
				all = -1 // the other stack's are not adapted
			}
		}
		if len(sites[role]) == all {
			names = append(names, shortName(sites[role][0]))
			continue
		}
		for _, s := range sites[role] {
			names = append(names, s.String())
		}
	}
	slices.Sort(names)
	return names
}

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

// Targets describes the linears that are adapted: by the [Target] that they are, or else by their modules, for each
// stack where the two differ. A name without what it is in stands for that of every attention of the block.
func (a *Adapter) Targets() string {
	var has [2]map[whisper.Role]bool
	for stack := range has {
		has[stack] = make(map[whisper.Role]bool)
	}
	for s := range a.Sites {
		has[s.Stack][s.Role] = true
	}
	encoder, decoder := has[whisper.EncoderStack], has[whisper.DecoderStack]
	for _, t := range []Target{All, AttentionOnly, DecoderOnly} {
		if maps.Equal(encoder, t.roles(whisper.EncoderStack)) && maps.Equal(decoder, t.roles(whisper.DecoderStack)) {
			return string(t)
		}
	}
	inEncoder, inDecoder := moduleNames(whisper.EncoderStack, encoder), moduleNames(whisper.DecoderStack, decoder)
	switch {
	case inEncoder == inDecoder:
		return inEncoder
	case inEncoder == "":
		return "decoder: " + inDecoder
	case inDecoder == "":
		return "encoder: " + inEncoder
	}
	return "encoder: " + inEncoder + "; decoder: " + inDecoder
}

// rolesOf returns the roles of the linears of a block.
func rolesOf(stack whisper.Stack) map[whisper.Role]bool {
	roles := make(map[whisper.Role]bool)
	for role := whisper.Query; role <= whisper.FC2; role++ {
		if _, ok := whisper.ParseSite(whisper.Site{Stack: stack, Role: role}.String()); ok {
			roles[role] = true
		}
	}
	return roles
}

// roles returns the roles that the target has in a stack.
func (t Target) roles(stack whisper.Stack) map[whisper.Role]bool {
	roles := rolesOf(stack)
	maps.DeleteFunc(roles, func(r whisper.Role, _ bool) bool { return !t.has(whisper.Site{Stack: stack, Role: r}) })
	return roles
}

// moduleNames lists roles of a stack by the last part of their names where all of that last part are there.
func moduleNames(stack whisper.Stack, has map[whisper.Role]bool) string {
	last := func(r whisper.Role) string {
		name := shortName(whisper.Site{Stack: stack, Role: r})
		return name[strings.LastIndexByte(name, '.')+1:]
	}
	missing := make(map[string]bool)
	for role := range rolesOf(stack) {
		if !has[role] {
			missing[last(role)] = true
		}
	}
	var names []string
	for _, role := range slices.Sorted(maps.Keys(has)) {
		name := last(role)
		if missing[name] {
			name = shortName(whisper.Site{Stack: stack, Role: role})
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// Parameters returns how many numbers the factors have in each stack.
func (a *Adapter) Parameters() (encoder, decoder int) {
	for site, f := range a.Sites {
		n := 0
		for _, p := range f.parts() {
			n += len(p.mat.Data)
		}
		if site.Stack == whisper.EncoderStack {
			encoder += n
		} else {
			decoder += n
		}
	}
	return encoder, decoder
}

// RankAt returns the rank of the factors of a linear, 0 where there are none, and of IA3.
func (a *Adapter) RankAt(site whisper.Site) int {
	f := a.Sites[site]
	if f == nil || a.Kind == IA3 {
		return 0
	}
	return f.rank()
}

// ScaleAt returns the scale that the file gives a product, 0 where there is no file or no product. The factors
// have it already.
func (a *Adapter) ScaleAt(site whisper.Site) float64 {
	if a.Config == nil || !a.Kind.isLoRA() {
		return 0
	}
	return a.Config.Scale(site.String())
}

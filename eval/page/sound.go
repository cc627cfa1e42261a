package page

import (
	"cmp"
	"regexp"
	"slices"
)

// clip is the sound of an utterance.
type clip struct {
	data  []byte
	media string
}

// sound is what a page has of it.
type sound struct {
	clips      map[*utterance]clip
	budget     int
	beyond     int // utterances left out since the budget was full
	unreadable int // utterances whose sound could not be read, or is of no sound's media type
}

// maxMisfits is the number of clips in a row that may be too long for what is left of the budget; the others are then not read.
const maxMisfits = 8

// mediaType is what a page takes for one of sound.
var mediaType = regexp.MustCompile(`^(audio|video)/[a-zA-Z0-9.+-]+(; ?codecs="?[a-zA-Z0-9.,-]+"?)?$`)

// embed reads the sound of the utterances with the most errors, until the budget is full.
func embed(s *selection, d Data) sound {
	found := sound{clips: make(map[*utterance]clip), budget: max(d.SoundBudget, 0)}
	if d.Sound == nil || d.SoundBudget < 0 {
		return found
	}
	order := slices.Clone(s.utterances)
	slices.SortStableFunc(order, func(a, b *utterance) int { return cmp.Compare(b.edits, a.edits) })
	room, misfits := found.budget, 0
	for i, u := range order {
		if misfits == maxMisfits {
			found.beyond += len(order) - i
			break
		}
		data, media, err := d.Sound(u.outcomes[0])
		switch {
		case err != nil || len(data) == 0 || !mediaType.MatchString(media):
			found.unreadable++
		case len(data) > room:
			misfits++
			found.beyond++
		default:
			misfits = 0
			room -= len(data)
			found.clips[u] = clip{data, media}
		}
	}
	return found
}

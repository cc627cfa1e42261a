package asr

// settle takes the language of a hypothesis, where that of the segment is not known, as soon as it is sure: it is clear, or there is
// no more to learn; then one that was spoken before is held on to. It reports whether the window has to be heard again, in
// another language than it was.
func (c *liveCore) settle(a *ask, h hypothesis) (again bool) {
	seg := c.segment
	if seg.language != "" {
		return false
	}
	speech, ends := a.to-c.spans[0].start, a.kind != askPartial
	switch {
	case speech < languageLeast && !ends:
		return false
	case h.languageProb >= clearLanguage || h.languageProb == 0:
		seg.language = h.language
	case !ends && speech < languageMost:
		return false
	case c.language != "":
		seg.language = c.language
	default:
		seg.language = h.language
	}
	return seg.language != h.language
}

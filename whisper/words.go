package whisper

import "strings"

// MergePunctuations joins words that are punctuation to their neighbours (upstream
// merge_punctuations): to the following word where they begin with a space and are of prepended,
// to the one before where they are of appended. A word that was joined to another stays in its
// place, empty.
func MergePunctuations(words []WordTiming, prepended, appended string) {
	last := len(words) - 1
	for i, j := last-1, last; i >= 0; i-- {
		previous, following := &words[i], &words[j]
		mark := strings.TrimFunc(previous.Text, isPythonSpace)
		if strings.HasPrefix(previous.Text, " ") && strings.Contains(prepended, mark) {
			following.Text = previous.Text + following.Text
			following.Tokens = append(previous.Tokens, following.Tokens...)
			previous.Word = Word{}
		} else {
			j = i
		}
	}
	for i, j := 0, 1; j <= last; j++ {
		previous, following := &words[i], &words[j]
		if !strings.HasSuffix(previous.Text, " ") && strings.Contains(appended, following.Text) {
			previous.Text += following.Text
			previous.Tokens = append(previous.Tokens, following.Tokens...)
			following.Word = Word{}
		} else {
			i = j
		}
	}
}

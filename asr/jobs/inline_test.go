package jobs

import (
	"encoding/json"
	"reflect"
	"testing"

	"glossa/asr"
)

// FuzzDecodeMessage checks that a message is what encoding/json takes it for.
func FuzzDecodeMessage(f *testing.F) {
	whole, err := json.Marshal(Message{JobID: "j", Audio: MessageAudio{Inline: []byte("sound")}, Params: asr.Params{"a": {"b"}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		string(whole), `{"audio":{"inline":"AAAA"}}`, `{"audio":{"inline": "c291bmQ="}}`, `{"params":{"inline":"c291bmQ="},"audio":{"url":"x"}}`,
		`{"params":{"inline":"c291bmQ="},"audio":{"inline":"AAAA"}}`, `{"name":"\"inline\":\"","audio":{"inline":"c291bmQ="}}`,
		`{"audio":{"inline":"c291\nbmQ="}}`, `{"audio":{"inline":"c291\\bmQ="}}`, `{"audio":{"inline":"c29"}}`, `{"audio":{"inline":"`, `{"inline":"AAAA"}`,
		`{"audio":{"inline":"c291bmQ=","inline":"AAAA"}}`, `{"audio":{"inline":"AAAA","inline":"c291bmQ="}}`, `{"audio":{"inline":"c291bmQ="},"job_id":7}`, "null",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want Message
		err, wantErr := decodeMessage(body, &got), json.Unmarshal(body, &want)
		if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v, %v", body, got, err, want, wantErr)
		}
	})
}

package jobs

import (
	"testing"

	"glossa/asr"
)

func TestSubmitThenCancel(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	ctx := t.Context()
	j, created, err := s.Submit(ctx, asr.Submission{Client: "ann", Name: "a.wav", Audio: asr.JobAudio{Bytes: []byte("sound")}, Seconds: 3})
	if err != nil || !created || j.State != asr.JobQueued {
		t.Fatal(j, created, err)
	}
	again, created, err := s.Submit(ctx, asr.Submission{Client: "ann", Name: "b.wav", Audio: asr.JobAudio{Bytes: []byte("sound")}})
	if err != nil || created || again.ID != j.ID {
		t.Fatal(again, created, err)
	}
	page, err := s.Jobs(ctx, "ann", asr.JobQuery{})
	if err != nil || len(page.Jobs) != 1 {
		t.Fatal(page, err)
	}
	t.Log(s.Backlog())
	if j, err = s.Cancel(ctx, "ann", j.ID); err != nil || j.State != asr.JobCancelled {
		t.Fatal(j, err)
	}
	if _, err := s.message(ctx, 1); !isGone(err) {
		t.Fatal(err)
	}
}

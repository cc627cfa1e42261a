package main

import (
	"fmt"
	"reflect"
	"time"

	"glossa/asr"
)

// limitFlags are the fields of asr.Limits, whose default values serverDefaults writes.
type limitFlags struct {
	RequestBytes byteSize      `name:"limit-request-bytes" group:"Limits" placeholder:"SIZE" help:"The size of a file. (LIMIT)"`
	Decoded      time.Duration `name:"limit-decoded" group:"Limits" placeholder:"TIME" help:"The duration of the sound in a file. (LIMIT)"`
	Requests     int           `name:"limit-requests" group:"Limits" placeholder:"N" help:"Requests that are served or wait at a time, live sessions apart. (LIMIT)"`
	Sessions     int           `name:"limit-sessions" group:"Limits" placeholder:"N" help:"Live sessions, resumable ones included. (LIMIT)"`
	Speakers     int           `name:"limit-speakers" group:"Limits" placeholder:"N" help:"Live sessions in which somebody speaks at a time; others wait. (LIMIT)"`
	FrameBytes   byteSize      `name:"limit-frame-bytes" group:"Limits" placeholder:"SIZE" help:"The size of a websocket message. (LIMIT)"`
	Queued       time.Duration `name:"limit-queued" group:"Limits" placeholder:"TIME" help:"Sound of a live session that may wait to be heard. (LIMIT)"`
	Idle         time.Duration `name:"limit-idle" group:"Limits" placeholder:"TIME" help:"How long a live client may send nothing. (LIMIT)"`
	Resume       time.Duration `name:"limit-resume" group:"Limits" placeholder:"TIME" help:"How long a live session whose connection broke waits for its client. (LIMIT)"`
	Session      time.Duration `name:"limit-session" group:"Limits" placeholder:"TIME" help:"How long a live session may last. (LIMIT)"`
	Jobs         int           `name:"limit-jobs" group:"Limits" placeholder:"N" help:"Jobs that wait. (LIMIT)"`
	JobBytes     byteSize      `name:"limit-job-bytes" group:"Limits" placeholder:"SIZE" help:"The size of a job's file. (LIMIT)"`
	JobsKept     time.Duration `name:"limit-jobs-kept" group:"Limits" placeholder:"TIME" help:"How long a job that is finished can be asked for. (LIMIT)"`
}

// limits returns what the flags say.
func (f *limitFlags) limits() asr.Limits {
	return asr.Limits{
		RequestBytes: int64(f.RequestBytes), Decoded: f.Decoded, Requests: f.Requests,
		Sessions: f.Sessions, Speakers: f.Speakers, FrameBytes: int64(f.FrameBytes),
		Queued: f.Queued, Idle: f.Idle, Resume: f.Resume, Session: f.Session,
		Jobs: f.Jobs, JobBytes: int64(f.JobBytes), JobsKept: f.JobsKept,
	}
}

// check refuses limits that nothing keeps to: 0 would stand for the default.
func (f *limitFlags) check() error {
	v := reflect.ValueOf(*f)
	for i := range v.NumField() {
		if field := v.Field(i); field.Int() <= 0 {
			return fmt.Errorf("--%s %v: more than 0 is needed", v.Type().Field(i).Tag.Get("name"), field)
		}
	}
	return nil
}

// limitDefaults returns the default values of the flags by their names.
func limitDefaults() map[string]string {
	l := asr.Limits{}.WithDefaults()
	values := limitFlags{
		RequestBytes: byteSize(l.RequestBytes), Decoded: l.Decoded, Requests: l.Requests,
		Sessions: l.Sessions, Speakers: l.Speakers, FrameBytes: byteSize(l.FrameBytes),
		Queued: l.Queued, Idle: l.Idle, Resume: l.Resume, Session: l.Session,
		Jobs: l.Jobs, JobBytes: byteSize(l.JobBytes), JobsKept: l.JobsKept,
	}
	defaults := make(map[string]string)
	v := reflect.ValueOf(values)
	for i := range v.NumField() {
		defaults[v.Type().Field(i).Tag.Get("name")] = settingText(v.Field(i).Interface())
	}
	return defaults
}

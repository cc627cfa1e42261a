package main

import (
	"context"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCapture sets a variable to what the group of a pattern finds in what the last command printed: capture NAME PATTERN.
func scriptCapture(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("no %s in\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], m[1])
}

// scriptLease changes the time after which jobs of a worker that was lost are delivered again: lease NATS DURATION. A worker that has a
// job says so every 10 s.
func scriptLease(ts *testscript.TestScript, _ bool, args []string) {
	wait, err := time.ParseDuration(args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	nc, err := nats.Connect(args[0])
	ts.Check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	ts.Check(err)
	stream, err := js.Stream(ctx, "ASR_JOBS")
	ts.Check(err)
	for info := range stream.ListConsumers(ctx).Info() {
		c := info.Config
		c.AckWait = wait
		_, err := stream.UpdateConsumer(ctx, c)
		ts.Check(err)
	}
}

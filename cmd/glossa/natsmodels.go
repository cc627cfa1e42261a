package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// How long workers may take to tell of themselves: the first, where the broker knows that there is one, and each behind it.
const (
	firstWorkerTime = 5 * time.Second
	nextWorkerTime  = 500 * time.Millisecond
)

// onlyModel returns the model of the workers on NATS servers. The error says that there are several, or none.
func onlyModel(ctx context.Context, nc *nats.Conn) (string, error) {
	models, err := workerModels(ctx, nc)
	switch {
	case err != nil:
		return "", err
	case len(models) == 0:
		return "", errors.New("no worker is there to say which model it has; name one by --model")
	case len(models) > 1:
		return "", fmt.Errorf("there are workers of several models; name one by --model: %s", strings.Join(models, ", "))
	}
	return models[0], nil
}

// workerModels returns the models of the workers on NATS servers, in their order, by what their service asr tells.
func workerModels(ctx context.Context, nc *nats.Conn) (models []string, err error) {
	subject, err := micro.ControlSubject(micro.InfoVerb, "asr", "")
	if err != nil {
		return nil, err
	}
	inbox := nats.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe()
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, err
	}
	for within := firstWorkerTime; ; within = nextWorkerTime {
		waiting, cancel := context.WithTimeout(ctx, within)
		m, err := answers.NextMsgWithContext(waiting)
		cancel()
		if err != nil { // nobody is there, or nobody more
			break
		}
		var info micro.Info
		if json.Unmarshal(m.Data, &info) != nil {
			continue // of a service that only has the name
		}
		if model := info.Metadata["model"]; model != "" && !slices.Contains(models, model) {
			models = append(models, model)
		}
	}
	slices.Sort(models)
	return models, ctx.Err()
}

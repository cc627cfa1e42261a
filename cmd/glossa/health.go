package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

type healthCommand struct {
	remoteFlags
	Timeout time.Duration `default:"5s" help:"How long to wait for the answer. (${default})"`
}

// Help is shown by "glossa help health".
func (healthCommand) Help() string {
	return `Asks a server's /readyz. The exit status is 0 where it is ready and 1 where it is not, for the health checks of containers
that have no other program.`
}

// Run asks.
func (h *healthCommand) Run(ctx context.Context, c *console) error {
	server, err := checkServer(h.Server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/readyz", nil)
	if err != nil {
		return err
	}
	r.Header = h.header()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return unreachable(server, err)
	}
	defer response.Body.Close()
	const most = 1 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s: %s", server, response.Status, strings.TrimSpace(string(text)))
	}
	return c.print(server + " is ready\n")
}

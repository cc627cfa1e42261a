package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metricSums are the metrics of a server: the sums of all series of a name.
type metricSums map[string]float64

// since returns by how much a metric has grown, times a factor; nil where the server does not tell.
func (m metricSums) since(before metricSums, name string, factor float64) *float64 {
	now, ok := m[name]
	if !ok {
		return nil
	}
	grown := (now - before[name]) * factor
	return &grown
}

// metrics asks a server for its metrics. One that does not tell has none.
func (r *remoteClient) metrics(ctx context.Context) (metricSums, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Header = r.header.Clone()
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil
	}
	return readMetrics(response.Body)
}

// readMetrics reads the text format of Prometheus.
func readMetrics(r io.Reader) (metricSums, error) {
	sums := make(metricSums)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(line[:at], "{")
		if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			sums[name] += value
		}
	}
	return sums, lines.Err()
}

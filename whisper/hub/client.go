package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects    = 5
	maxListingBytes = 16 << 20
	answerTimeout   = 30 * time.Second
)

// Client pulls from a hub. Its methods are safe for concurrent use.
type Client struct {
	endpoint *url.URL
	token    string
	cache    Cache
	http     *http.Client
	stall    time.Duration // how long to wait for the next bytes of a body
	sleep    func(ctx context.Context, d time.Duration) error
}

// NewClient is a client of the hub at endpoint, a URL such as https://huggingface.co, that pulls into cache. The token, which
// may be "", is sent to the endpoint's host alone. The error is ErrServer.
func NewClient(endpoint, token string, cache Cache) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(endpoint, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: endpoint %q is not a URL of http or https", ErrServer, endpoint)
	}
	if strings.ContainsAny(token, "\r\n") {
		return nil, fmt.Errorf("%w: the token has several lines", ErrDenied)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTimeout
	c := &Client{endpoint: u, token: token, cache: cache, stall: answerTimeout, sleep: sleep}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// atEndpoint says whether a URL is of the hub itself: the host and its port.
func (c *Client) atEndpoint(u *url.URL) bool {
	return u.Scheme == c.endpoint.Scheme && u.Host == c.endpoint.Host
}

// redirect decides on the next hop. What is known of a large file stands on the answer that sends elsewhere for it, so a HEAD
// ends there. http.Client by itself would send the token to subdomains and to other ports.
func (c *Client) redirect(next *http.Request, via []*http.Request) error {
	switch elsewhere := !c.atEndpoint(next.URL); {
	case elsewhere && next.Method == http.MethodHead:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d redirects", ErrServer, maxRedirects)
	case next.URL.Scheme != c.endpoint.Scheme && next.URL.Scheme != "https":
		return fmt.Errorf("%w: a redirect to %s://%s", ErrServer, next.URL.Scheme, next.URL.Host)
	case elsewhere:
		next.Header.Del("Authorization")
	}
	return nil
}

// request asks for a path of the endpoint, from an offset of its content. An answer that is no success is an error: ErrNotFound,
// ErrDenied, ErrServer, or one of the connection.
func (c *Client) request(ctx context.Context, method, path string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint.String()+path, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	req.Header.Set("User-Agent", "glossa")
	req.Header.Set("Accept-Encoding", "identity") // or sizes and ranges would be those of a compressed form
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	moved := method == http.MethodHead && resp.StatusCode/100 == 3
	if resp.StatusCode/100 == 2 || moved || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return resp, nil
	}
	resp.Body.Close()
	return nil, c.statusError(resp)
}

// connectionError makes an error of the connection temporary, unless trying again is futile. A URL that a redirect led to is
// left out of it, as it may bear a signature.
func (c *Client) connectionError(ctx context.Context, err error) error {
	if stalled, ok := context.Cause(ctx).(*temporary); ok {
		return stalled
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	err = fmt.Errorf("hub: %s: %w", c.endpoint.Host, err)
	var unknown *net.DNSError
	var untrusted *tls.CertificateVerificationError
	if errors.Is(err, ErrServer) || errors.As(err, &untrusted) || errors.As(err, &unknown) && unknown.IsNotFound {
		return err
	}
	return &temporary{err: err}
}

// statusError tells what a status means.
func (c *Client) statusError(resp *http.Response) error {
	if c.atEndpoint(resp.Request.URL) {
		if err := c.refusal(resp); err != nil {
			return fmt.Errorf("%w (%s)", err, resp.Status)
		}
	}
	err := fmt.Errorf("%w: %s from %s", ErrServer, resp.Status, resp.Request.URL.Host)
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &temporary{err: err, after: retryAfter(resp.Header, time.Now())}
	}
	return err
}

// refusal tells why the hub itself refuses, nil where it does not. It answers 401 for what does not exist too, as it does not
// tell strangers.
func (c *Client) refusal(resp *http.Response) error {
	code := resp.Header.Get("X-Error-Code")
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		if c.token == "" {
			return fmt.Errorf("%w: it does not exist, or is private and needs HF_TOKEN", ErrDenied)
		}
		return fmt.Errorf("%w: it does not exist, or the token is not valid for it", ErrDenied)
	case http.StatusForbidden:
		if code == "GatedRepo" {
			return fmt.Errorf("%w: it is gated: accept its conditions on %s, and set HF_TOKEN", ErrDenied, c.endpoint.Host)
		}
		return ErrDenied
	case http.StatusNotFound:
		switch code {
		case "RevisionNotFound":
			return fmt.Errorf("%w: no such revision", ErrNotFound)
		case "EntryNotFound":
			return fmt.Errorf("%w: no such file", ErrNotFound)
		}
		return fmt.Errorf("%w: no such repository", ErrNotFound)
	}
	return nil
}

// list asks for the commit of a revision and the names of its files.
func (c *Client) list(ctx context.Context, r Ref) (commit string, names []string, err error) {
	var answer struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	err = c.retry(ctx, func() (bool, error) {
		resp, err := c.request(ctx, http.MethodGet, "/api/models/"+r.Repo+"/revision/"+url.PathEscape(r.Revision), 0)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxListingBytes+1))
		if err != nil {
			return false, c.connectionError(ctx, err)
		}
		if len(text) > maxListingBytes {
			return false, fmt.Errorf("%w: a list of files of more than %d bytes", ErrServer, maxListingBytes)
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			return false, fmt.Errorf("%w: list of files: %w", ErrServer, err)
		}
		return false, nil
	})
	if err != nil {
		return "", nil, err
	}
	if !commitName.MatchString(answer.SHA) {
		return "", nil, fmt.Errorf("%w: the commit is %q", ErrServer, answer.SHA)
	}
	for _, s := range answer.Siblings {
		names = append(names, s.Name)
	}
	return answer.SHA, names, nil
}

// filePath is the path of the content of a file.
func filePath(repo, commit, name string) string {
	return "/" + repo + "/resolve/" + commit + (&url.URL{Path: "/" + name}).EscapedPath()
}

// maxFileBytes bounds what the hub may tell of a size.
const maxFileBytes = 1 << 40

var hashName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// describe asks for the hash and the size of a file. Large files are elsewhere, and the X-Linked headers tell of them; for
// others the entity tag is the hash of the git blob.
func (c *Client) describe(ctx context.Context, repo, commit, name string) (remote, error) {
	f := remote{name: name}
	err := c.retry(ctx, func() (bool, error) {
		resp, err := c.request(ctx, http.MethodHead, filePath(repo, commit, name), 0)
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		tag := resp.Header.Get("ETag")
		f.size = resp.ContentLength
		if linked := resp.Header.Get("X-Linked-Etag"); linked != "" {
			tag = linked
		}
		if linked := resp.Header.Get("X-Linked-Size"); linked != "" {
			if f.size, err = strconv.ParseInt(linked, 10, 64); err != nil {
				return false, fmt.Errorf("%w: the size is %q", ErrServer, linked)
			}
		}
		f.hash = strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
		if !hashName.MatchString(f.hash) {
			return false, fmt.Errorf("%w: the entity tag %q is no hash", ErrServer, tag)
		}
		if f.size < 0 || f.size > maxFileBytes {
			return false, fmt.Errorf("%w: the size is %d", ErrServer, f.size)
		}
		if at := resp.Header.Get("X-Repo-Commit"); at != "" && at != commit {
			return false, fmt.Errorf("%w: it is of commit %q, not %s", ErrServer, at, commit)
		}
		return false, nil
	})
	if err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

package outbound

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"glossa/asr"
)

// TestPublicAddresses goes through the registries' ranges: the ends of each, and what lies beside them.
func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "93.184.216.34": true, "9.255.255.255": true, "11.0.0.0": true, "223.255.255.255": true,
		"100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true, "192.169.0.0": true,
		"198.17.255.255": true, "198.20.0.0": true, "126.255.255.255": true, "128.0.0.0": true, "169.253.0.1": true, "168.63.129.15": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.0": false, "10.255.255.255": false, "100.64.0.0": false, "100.127.255.255": false,
		"100.100.100.200": false, "127.0.0.1": false, "127.255.255.254": false, "169.254.169.254": false, "169.254.170.2": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false,
		"198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false, "203.0.113.9": false, "224.0.0.1": false, "239.255.255.255": false,
		"240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,

		"2001:4860:4860::8888": true, "2606:4700::1111": true, "2a00:1450:4001::1": true,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.1.2.3": false, "::ffff:8.8.8.8": true, "::127.0.0.1": false, "::8.8.8.8": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::808:808": true, "64:ff9b:1::808:808": false,
		"2002:7f00:1::": false, "2002:808:808::1": false, "2001::1": false, "2001:0:4136:e378::1": false, "2001:db8::1": false, "2001:1ff::1": false,
		"2001:200::1": true, "3fff::1": false, "3fff:fff::1": false, "3fff:1000::1": true, "fc00::1": false, "fd00:ec2::254": false, "fdff::1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "100::1": false, "4000::1": false, "2606:4700::1111%eth0": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// spellings are addresses as clients may write them, and whether they are refused before they are called.
var spellings = map[string]bool{
	"https://example.org/": false, "https://example.org:8443/hook?x=1": false, "https://EXAMPLE.org.": false, "https://8.8.8.8/": false,
	"https://[2606:4700::1111]:443/": false, "https://xn--bcher-kva.example/": false, "https://bücher.example/": false, "https://1and1.example/": false,
	"https://127.0.0.1.nip.example/": false, "https://intranet/": false, // known when they are resolved

	"": true, "example.org": true, "//example.org/": true, "http://example.org/": true, "ftp://example.org/": true, "file:///etc/passwd": true,
	"gopher://example.org": true, "https:example.org": true, "https:///x": true, "https://": true, "javascript:alert(1)": true, "https://:443/": true,
	"https://user@example.org/": true, "https://user:password@example.org/": true, "https://@example.org/": true, "https://example.org@127.0.0.1/": true,
	"https://example.org:0/": true, "https://example.org:65536/": true, "https://example.org:/": true, "https://example.org:x/": true, "https://example.org:-1/": true,
	"https://localhost/": true, "https://LOCALHOST:8080/": true, "https://localhost./": true, "https://a.b.localhost/": true,
	"https://127.0.0.1/": true, "https://127.1/": true, "https://127.0.1/": true, "https://2130706433/": true, "https://0x7f000001/": true, "https://0x7f.0.0.1/": true,
	"https://0177.0.0.1/": true, "https://017700000001/": true, "https://127.0.0.01/": true, "https://127.0.0.1./": true, "https://0/": true, "https://0x/": true,
	"https://10.0.0.1:8080/": true, "https://169.254.169.254/latest/meta-data/": true, "https://0.0.0.0/": true, "https://1.2.3.4.5/": true, "https://256.1.1.1/": true,
	"https://[::1]/": true, "https://[::]/": true, "https://[::ffff:127.0.0.1]/": true, "https://[::ffff:7f00:1]/": true, "https://[0:0:0:0:0:ffff:10.0.0.1]/": true,
	"https://[::127.0.0.1]/": true, "https://[64:ff9b::127.0.0.1]/": true, "https://[2002:7f00:1::]/": true, "https://[fe80::1%25eth0]/": true, "https://[fd00:ec2::254]/": true,
	"https://[::1": true, "https://::1/": true, "https://[localhost]/": true, "https://./": true, "https://a../": true, "https://%31%32%37.0.0.1/": true, "https://example.org\n/": true,
	"https://exa mple.org/": true, "https://example.org\x00/": true, "https://" + strings.Repeat("a", 3000) + ".example/": true,
}

// TestSpellings checks what is refused before it is called.
func TestSpellings(t *testing.T) {
	for address, refused := range spellings {
		err := Guard{}.Check(address)
		if (err != nil) != refused || err != nil && !errors.Is(err, ErrForbidden) || err != nil && !errors.Is(err, asr.ErrInvalid) {
			t.Errorf("%.80q: %v", address, err)
		}
	}
	for _, c := range []struct {
		g       Guard
		address string
		refused bool
	}{
		{Guard{HTTP: true}, "http://example.org/", false}, {Guard{HTTP: true}, "http://127.0.0.1/", true}, {Guard{HTTP: true}, "ftp://example.org/", true},
		{Guard{Internal: true}, "https://127.0.0.1:8443/", false}, {Guard{Internal: true}, "https://localhost/", false}, {Guard{Internal: true}, "http://localhost/", true},
		{Guard{Internal: true, HTTP: true}, "http://[::1]:80/", false}, {Guard{Internal: true}, "https://u@127.0.0.1/", true}, {Guard{Internal: true}, "https://2130706433/", true},
	} {
		if err := c.g.Check(c.address); (err != nil) != c.refused {
			t.Errorf("%+v, %s: %v", c.g, c.address, err)
		}
	}
}

// TestNothingInternalIsConnectedTo has a client call all spellings, also those that look harmless, on a machine whose loopback answers at a
// port: nothing of it comes there.
func TestNothingInternalIsConnectedTo(t *testing.T) {
	var reached atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n := &names{of: map[string][][]string{
		"inside.example": {{"127.0.0.1"}}, "both.example": {{"10.0.0.1", "127.0.0.1"}}, "six.example": {{"::1"}}, "mapped.example": {{"::ffff:127.0.0.1"}},
		"metadata.example": {{"169.254.169.254"}}, "nat64.example": {{"64:ff9b::7f00:1"}}, "127.0.0.1.nip.example": {{"127.0.0.1"}},
		"changes.example": {{"127.0.0.1"}}, "none.example": {{}},
	}}
	g := Guard{HTTP: true, Resolver: n.resolver(t)}
	client := g.Client()
	defer client.CloseIdleConnections()
	hosts := []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1", "0", "127.1", "１２７.0.0.1", "①27.0.0.1"}
	for name := range n.of {
		hosts = append(hosts, name)
	}
	for _, host := range hosts {
		_, err := g.Get(t.Context(), "http://"+host+":"+port+"/", 100)
		if host != "none.example" && !errors.Is(err, ErrForbidden) {
			t.Errorf("get %s: %v", host, err)
		}
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("get %s tells where it leads: %v", host, err)
		}
		r, err := client.Post("http://"+host+":"+port+"/", "text/plain", strings.NewReader("x"))
		if err == nil {
			r.Body.Close()
			t.Errorf("post %s is answered", host)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d connections came to the loopback", n)
	}
}

// TestNamesAreResolvedAtEachConnection checks that a name which changes its mind gains nothing: what was allowed for the first connection says nothing
// of the second.
func TestNamesAreResolvedAtEachConnection(t *testing.T) {
	n := &names{of: map[string][][]string{"rebinds.example": {{"192.0.2.1"}, {"127.0.0.1"}}}}
	g := Guard{HTTP: true, Resolver: n.resolver(t)}
	for range 2 {
		if _, err := g.Get(t.Context(), "http://rebinds.example:1/", 1); !errors.Is(err, ErrForbidden) {
			t.Error(err)
		}
	}
	if got := n.questions("rebinds.example"); got != 2 {
		t.Errorf("resolved %d times", got)
	}
}

// TestGet gets files of a server of https on the loopback, which Internal allows, by a name.
func TestGet(t *testing.T) {
	var path atomic.Value
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.Proto + " " + r.Host + " " + r.Header.Get("Accept-Encoding"))
		io.WriteString(w, "0123456789")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/file", http.StatusFound) })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "01234")
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	n := &names{of: map[string][][]string{"example.com": {{"127.0.0.1"}}}} // of the test server's certificate
	t.Setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
	g := Guard{Internal: true, Roots: roots, Resolver: n.resolver(t)}
	at := "https://example.com:" + port
	got, err := g.Get(t.Context(), at+"/file", 10)
	if err != nil || string(got) != "0123456789" || path.Load() != "HTTP/2.0 example.com:"+port+" " {
		t.Errorf("%q, %v, %v", got, err, path.Load())
	}
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		ctx   context.Context
		g     Guard
		path  string
		limit int64
		want  error
		says  string
	}{
		{t.Context(), g, "/file", 9, asr.ErrInvalid, "more than 9 bytes"},
		{t.Context(), g, "/endless", 1 << 20, asr.ErrInvalid, "more than 1048576 bytes"},
		{t.Context(), g, "/moved", 100, asr.ErrInvalid, "not followed"},
		{t.Context(), g, "/absent", 100, asr.ErrInvalid, "status 404"},
		{t.Context(), g, "/busy", 100, asr.ErrBusy, "status 503"},
		{t.Context(), g, "/cut", 100, asr.ErrBusy, "failed"},
		{soon, g, "/slow", 100, asr.ErrCancelled, "deadline"},
		{t.Context(), Guard{Internal: true, Resolver: g.Resolver}, "/file", 100, asr.ErrBusy, "certificate"},
		{t.Context(), Guard{Roots: roots, Resolver: g.Resolver}, "/file", 100, ErrForbidden, "internal"},
	} {
		got, err := c.g.Get(c.ctx, at+c.path, c.limit)
		if got != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d bytes, %v", c.path, len(got), err)
		}
	}
	server.Close()
	if _, err := g.Get(t.Context(), at+"/file", 10); !errors.Is(err, asr.ErrBusy) || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	if _, err := g.Get(t.Context(), "https://unknown.example/", 10); !errors.Is(err, asr.ErrBusy) || !strings.Contains(err.Error(), "not known") {
		t.Error(err)
	}
}

// FuzzCheck checks that no address makes Check panic, and that what it lets pass is a URL of https with a host.
func FuzzCheck(f *testing.F) {
	for address := range spellings {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		err := Guard{}.Check(address)
		if err == nil && !strings.HasPrefix(strings.ToLower(address), "https://") {
			t.Errorf("%q passes", address)
		}
		if err != nil && !errors.Is(err, ErrForbidden) {
			t.Error(err)
		}
	})
}

package outbound

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// names is a server of names: the addresses of each, in turn for each question of a connection.
type names struct {
	mu    sync.Mutex
	of    map[string][][]string // answers of a name, the last of them again and again
	asked map[string]int        // questions for IPv4 addresses
}

// resolver returns a resolver that asks the server alone.
func (n *names) resolver(t testing.TB) *net.Resolver {
	t.Helper()
	n.asked = make(map[string]int)
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers questions as over TCP: each with its length before it (RFC 1035, section 4.2.2).
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := n.answer(question)
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

// answer returns the message that answers one with a single question.
func (n *names) answer(q []byte) []byte {
	var labels []string
	at := 12
	for q[at] != 0 {
		labels = append(labels, string(q[at+1:at+1+int(q[at])]))
		at += 1 + int(q[at])
	}
	end := at + 5 // the root, type and class
	kind := binary.BigEndian.Uint16(q[at+1:])
	name := strings.ToLower(strings.Join(labels, "."))
	var records []byte
	count, code := 0, uint16(0)
	list, known := n.next(name, kind)
	if !known {
		code = 3 // NXDOMAIN
	}
	for _, text := range list {
		ip := netip.MustParseAddr(text)
		if is4 := ip.Is4(); is4 != (kind == 1) || kind != 1 && kind != 28 {
			continue
		}
		count++
		records = append(records, 0xc0, 12) // the name of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // IN, for no time
		records = binary.BigEndian.AppendUint16(records, uint16(len(ip.AsSlice())))
		records = append(records, ip.AsSlice()...)
	}
	m := append([]byte{}, q[:2]...)
	m = binary.BigEndian.AppendUint16(m, 0x8180|code)
	m = append(m, 0, 1)
	m = binary.BigEndian.AppendUint16(m, uint16(count))
	m = append(m, 0, 0, 0, 0)
	m = append(m, q[12:end]...)
	return append(m, records...)
}

func (n *names) next(name string, kind uint16) (list []string, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers, known := n.of[name]
	if !known {
		return nil, false
	}
	i := n.asked[name]
	if kind == 1 {
		n.asked[name]++
	}
	return answers[min(i, len(answers)-1)], true
}

func (n *names) questions(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

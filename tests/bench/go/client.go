package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"
	"time"
)

const patience = 300 * time.Second

// A route leads to the upstream, through a proxy or directly.
type route struct {
	address string
	target  string
	proxied bool
	config  *tls.Config
}

func newRoute(task Task, port int) (*route, error) {
	text, err := os.ReadFile(task.Roots)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", task.Roots)
	}
	// Without a session cache every handshake is a whole one.
	config := &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{"http/1.1"}}
	target := net.JoinHostPort(host, strconv.Itoa(port))
	if task.Proxy == "" {
		return &route{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), target, false, config}, nil
	}
	return &route{task.Proxy, target, true, config}, nil
}

// A client is one connection, HTTP/1.1 by hand: what the load side spends per request has to be little.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	target string
}

func (r *route) dial() (*client, error) {
	raw, err := net.DialTimeout("tcp", r.address, patience)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	if r.proxied {
		if err := connect(raw, r.target); err != nil {
			raw.Close()
			return nil, err
		}
	}
	secure := tls.Client(raw, r.config)
	if err := secure.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return &client{secure, bufio.NewReaderSize(secure, 64<<10), r.target}, nil
}

func connect(raw net.Conn, target string) error {
	if _, err := fmt.Fprintf(raw, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return err
	}
	var answer []byte
	piece := make([]byte, 1024)
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		count, err := raw.Read(piece)
		if err != nil {
			return fmt.Errorf("CONNECT: %w", err)
		}
		answer = append(answer, piece[:count]...)
	}
	if line, _, _ := bytes.Cut(answer, []byte("\r\n")); !bytes.Contains(line, []byte(" 200")) {
		return fmt.Errorf("CONNECT was answered with %q", line)
	}
	return nil
}

var question = `{"model":"made","messages":[{"role":"user","content":"` + strings.Repeat("words ", 150) + `"}]}`

// ask sends a request and reads the head of its answer; the body is to be read to its end before the next one.
func (c *client) ask(path string) (io.Reader, error) {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, c.target, len(question), question)
	if err != nil {
		return nil, err
	}
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return nil, fmt.Errorf("%s was answered with %q", path, status)
	}
	var body io.Reader
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			size, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return nil, err
			}
			body = io.LimitReader(c.reader, size)
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			body = &chunked{httputil.NewChunkedReader(c.reader), c.reader}
		}
	}
	if body == nil {
		return nil, errors.New("the answer has no length")
	}
	return body, nil
}

// fetch asks and reads the whole answer; it returns the length of the body.
func (c *client) fetch(path string) (int64, error) {
	body, err := c.ask(path)
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, body)
}

func (c *client) close() { _ = c.conn.Close() }

// chunked reads a chunked body and the empty line behind it, which net/http/httputil leaves.
type chunked struct {
	body   io.Reader
	reader *bufio.Reader
}

func (c *chunked) Read(piece []byte) (int, error) {
	count, err := c.body.Read(piece)
	if err == io.EOF {
		if _, lineErr := c.reader.ReadSlice('\n'); lineErr != nil {
			return count, lineErr
		}
	}
	return count, err
}

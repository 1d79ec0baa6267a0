// Package plan says which requests a Go program performs, and performs them the way Go programs do: one
// http.Client, HTTP/2 where the server offers it, each body read to its end.
package plan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

// Plan is the whole input: groups of requests, some of the groups side by side.
type Plan struct {
	Parallel int     `json:"parallel"`
	Groups   []Group `json:"groups"`
}

// Group is one client's life: its requests go out one after another.
type Group struct {
	Name string `json:"name"`
	// Proxy is the proxy's URL; "env" takes HTTPS_PROXY. Empty means no proxy.
	Proxy string `json:"proxy"`
	// Dial, when set, is the one address that every connection goes to.
	Dial string `json:"dial"`
	// CAFile is what the client trusts; empty takes SSL_CERT_FILE.
	CAFile string `json:"ca_file"`
	// HTTP1 keeps the client from offering HTTP/2.
	HTTP1 bool `json:"http1"`
	// EmptyHost leaves Request.Host empty, as several SDKs do; http.NewRequest sets it to the URL's host.
	EmptyHost bool      `json:"empty_host"`
	Requests  []Request `json:"requests"`

	// The program's own: where the cassette is, and how it is matched.
	Cassette string `json:"cassette"`
	Mode     string `json:"mode"`
	Matcher  string `json:"matcher"`
	Layout   string `json:"layout"`
}

// Request is one call.
type Request struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers http.Header `json:"headers"`
	Body    []byte      `json:"body"`
	// Chunked hides the body's length, so that HTTP/1.1 sends it chunked.
	Chunked bool `json:"chunked"`
	// Trace reports each piece of the response's body as soon as it was read.
	Trace bool `json:"trace"`
}

// Result is what came of one request, or, with Chunk set, a piece of a body that is still under way.
type Result struct {
	Group   string      `json:"group"`
	Request int         `json:"request"`
	Chunk   string      `json:"chunk,omitempty"`
	Error   string      `json:"error,omitempty"`
	Status  string      `json:"status,omitempty"`
	Proto   string      `json:"proto,omitempty"`
	Header  http.Header `json:"header,omitempty"`
	Length  int         `json:"length"`
	SHA256  string      `json:"sha256,omitempty"`
}

// Transport builds the group's transport.
func (g Group) Transport() (*http.Transport, error) {
	caFile := g.CAFile
	if caFile == "" {
		caFile = os.Getenv("SSL_CERT_FILE")
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", caFile)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: !g.HTTP1,
	}
	if g.HTTP1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	proxy := g.Proxy
	if proxy == "env" {
		if proxy = os.Getenv("HTTPS_PROXY"); proxy == "" {
			return nil, errors.New("HTTPS_PROXY is not set")
		}
	}
	if proxy != "" {
		// ProxyURL and not ProxyFromEnvironment: the latter never sends localhost to a proxy.
		parsed, err := url.Parse(proxy)
		if err != nil {
			return nil, err
		}
		transport.Proxy = http.ProxyURL(parsed)
	}
	if g.Dial != "" {
		dialer := &net.Dialer{}
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, g.Dial)
		}
	}
	return transport, nil
}

// Build makes the http.Request of the i-th request.
func (g Group) Build(i int) (*http.Request, error) {
	r := g.Requests[i]
	var body io.Reader
	if len(r.Body) > 0 {
		body = bytes.NewReader(r.Body)
		if r.Chunked {
			// A reader of a kind that NewRequest does not know: the length stays unknown.
			body = struct{ io.Reader }{body}
		}
	}
	request, err := http.NewRequest(r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Headers {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if g.EmptyHost {
		request.Host = ""
	}
	return request, nil
}

// Perform sends the group's requests one after another and reports what came.
func (g Group) Perform(transport http.RoundTripper, report func(Result)) {
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for i, r := range g.Requests {
		result, err := g.perform(client, i, r.Trace, report)
		if err != nil {
			result.Error = err.Error()
		}
		result.Group, result.Request = g.Name, i
		report(result)
	}
}

func (g Group) perform(client *http.Client, i int, trace bool, report func(Result)) (Result, error) {
	request, err := g.Build(i)
	if err != nil {
		return Result{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Result{}, err
	}
	defer response.Body.Close()
	result := Result{Status: response.Status, Proto: response.Proto, Header: response.Header}
	sum := sha256.New()
	buffer := make([]byte, 64<<10)
	for {
		n, err := response.Body.Read(buffer)
		sum.Write(buffer[:n])
		result.Length += n
		if n > 0 && trace {
			report(Result{Group: g.Name, Request: i, Chunk: string(buffer[:n])})
		}
		if errors.Is(err, io.EOF) {
			result.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return result, nil
		}
		if err != nil {
			return result, err
		}
	}
}

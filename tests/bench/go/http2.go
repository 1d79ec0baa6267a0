package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
)

// The same duties over HTTP/2, by net/http: several streams share a connection, as they do in most clients.

// A stream asks over a connection that may serve others, too.
type stream struct {
	http   *http.Client
	target string
}

// ask sends a request; the body of its answer is to be closed.
func (s *stream) ask(path string) (io.ReadCloser, error) {
	address := "https://" + s.target + path
	answer, err := s.http.Post(address, "application/json", bytes.NewReader([]byte(question)))
	if err != nil {
		return nil, err
	}
	if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s was answered with %s %s", path, answer.Proto, answer.Status)
	}
	return answer.Body, nil
}

// openStreams returns streams that are spread over some connections, which are open then.
func openStreams(r *route, task Task) ([]*stream, func(), error) {
	transports := make([]*http.Transport, task.Connections)
	closeAll := func() {
		for _, transport := range transports {
			if transport != nil {
				transport.CloseIdleConnections()
			}
		}
	}
	for which := range transports {
		transports[which] = &http.Transport{
			TLSClientConfig:    &tls.Config{RootCAs: r.config.RootCAs, ServerName: host},
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
		}
		if r.proxied {
			transports[which].Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.address})
		}
		first := &stream{&http.Client{Transport: transports[which], Timeout: patience}, r.target}
		body, err := first.ask("/json/100")
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		_, _ = io.Copy(io.Discard, body)
		body.Close()
	}
	streams := make([]*stream, task.Streams)
	for which := range streams {
		transport := transports[which%len(transports)]
		streams[which] = &stream{&http.Client{Transport: transport, Timeout: patience}, r.target}
	}
	return streams, closeAll, nil
}

// flatOutHTTP2 is flatOut.
func flatOutHTTP2(r *route, task Task) (Result, error) {
	streams, closeAll, err := openStreams(r, task)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	path := fmt.Sprintf("/flat/%d/%d/", int((task.WarmSeconds+task.Seconds)*1e3), task.Size)
	warmAt := now() + int64(task.WarmSeconds*1e9)
	var all, counted, last atomic.Int64
	err = everyone(make([]*client, len(streams)), func(which int, _ *client) error {
		arrived[which].Store(0)
		body, err := streams[which].ask(path + strconv.Itoa(which))
		if err != nil {
			return err
		}
		defer body.Close()
		piece := make([]byte, 64<<10)
		for {
			count, err := body.Read(piece)
			all.Add(int64(count))
			arrived[which].Add(int64(count))
			if at := now(); at >= warmAt {
				counted.Add(int64(count))
				last.Store(max(last.Load(), at))
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	perSecond := float64(counted.Load()) / float64(task.Size) / (float64(last.Load()-warmAt) / 1e9)
	return Result{"per_second": perSecond, "count": float64(all.Load()) / float64(task.Size)}, nil
}

// ticksHTTP2 is ticks, without long bodies beside them.
func ticksHTTP2(r *route, task Task) (Result, error) {
	streams, closeAll, err := openStreams(r, task)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	count := int((task.WarmSeconds + task.Seconds) * float64(task.Rate))
	warmAt, flows := whenAllFlow(len(streams), task)
	heard := make([][]arrival, len(streams))
	err = everyone(make([]*client, len(streams)), func(which int, _ *client) error {
		phase := rand.Intn(1_000_000 / task.Rate)
		body, err := streams[which].ask(fmt.Sprintf("/ticks/%d/%d/%d/%d", count, task.Rate, phase, task.Size))
		flows()
		if err != nil {
			return err
		}
		defer body.Close()
		heard[which], err = eventsOf(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	result := ageQuantiles(heard, warmAt.Load())
	result["count"] = float64(count * len(streams))
	return result, nil
}

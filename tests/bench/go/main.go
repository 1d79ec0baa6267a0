// Load is both ends of a benchmark: the upstream, and the clients that reach it through a proxy or directly.
//
// They are one process, so that the time in a chunk and the time of its arrival are of one clock. It prints a line
// of JSON with its port and the file of its CA, then answers tasks, a line of JSON each, until its input ends.
//
//	load CA-FILE
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// A Task is one measurement. Fields that a duty has no use for are left out.
type Task struct {
	Duty string `json:"duty"`
	// Proxy is the HTTP proxy's host:port; without one the upstream is asked directly.
	Proxy string `json:"proxy"`
	// Roots is a PEM file with what the upstream's certificate has to be signed by, as the client sees it.
	Roots       string  `json:"roots"`
	Seconds     float64 `json:"seconds"`
	WarmSeconds float64 `json:"warm_seconds"`
	Connections int     `json:"connections"`
	// Streams is how many requests share the connections of a duty over HTTP/2.
	Streams int `json:"streams"`
	Count   int `json:"count"`
	// Rate is events a second of each stream.
	Rate int `json:"rate"`
	// Size is the length of a body or an event, in bytes.
	Size int `json:"size"`
	// BigEverySeconds asks for a body of BigSize beside the streams, again and again.
	BigEverySeconds float64 `json:"big_every_seconds"`
	BigSize         int     `json:"big_size"`
}

// A Result is what a measurement found, by names with units in them.
type Result map[string]float64

var duties = map[string]func(*route, Task) (Result, error){
	"requests": requests,
	"connects": connects,
	"first":    firstBytes,
	"ticks":    ticks,
	"flat":     flatOut,
	"bulk":     bulk,
	"flath2":   flatOutHTTP2,
	"ticksh2":  ticksHTTP2,
}

var started = time.Now()

// now is the one clock of both ends, in nanoseconds.
func now() int64 { return int64(time.Since(started)) }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: load CA-FILE")
		os.Exit(2)
	}
	port, err := serve(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	output := json.NewEncoder(os.Stdout)
	_ = output.Encode(map[string]any{"port": port, "http2": true})
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		result, err := perform(input.Bytes(), port)
		if err != nil {
			_ = output.Encode(map[string]string{"error": err.Error()})
			continue
		}
		_ = output.Encode(result)
	}
}

func perform(line []byte, port int) (Result, error) {
	var task Task
	if err := json.Unmarshal(line, &task); err != nil {
		return nil, err
	}
	duty, known := duties[task.Duty]
	if !known {
		return nil, fmt.Errorf("there is no duty %q", task.Duty)
	}
	route, err := newRoute(task, port)
	if err != nil {
		return nil, err
	}
	return duty(route, task)
}

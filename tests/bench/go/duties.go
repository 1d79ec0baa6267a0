package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const dialing = 16 // connections that are opened side by side

// requests asks for small bodies over connections that are kept, for a time or up to a count.
func requests(r *route, task Task) (Result, error) {
	clients, err := dialAll(r, task.Connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	path := fmt.Sprintf("/json/%d", task.Size)
	var taken, done, counted atomic.Int64
	began := now()
	warmAt := began + int64(task.WarmSeconds*1e9)
	until := began + int64((task.WarmSeconds+task.Seconds)*1e9)
	var last atomic.Int64
	latencies := make([][]float64, len(clients))
	err = everyone(clients, func(which int, c *client) error {
		for {
			sent := now()
			if task.Count > 0 && taken.Add(1) > int64(task.Count) || task.Count == 0 && sent >= until {
				return nil
			}
			if _, err := c.fetch(path); err != nil {
				return err
			}
			done.Add(1)
			if end := now(); sent >= warmAt {
				counted.Add(1)
				last.Store(max(last.Load(), end))
				latencies[which] = append(latencies[which], float64(end-sent)/1e6)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	result := quantiles(slices.Concat(latencies...))
	result["per_second"] = float64(counted.Load()) / (float64(last.Load()-warmAt) / 1e9)
	result["count"] = float64(done.Load())
	return result, nil
}

// connects opens a connection for each request, from several clients side by side.
func connects(r *route, task Task) (Result, error) {
	var count atomic.Int64
	began := now()
	until := began + int64(task.Seconds*1e9)
	err := everyone(make([]*client, task.Connections), func(int, *client) error {
		for now() < until {
			c, err := r.dial()
			if err != nil {
				return err
			}
			_, err = c.fetch("/json/100")
			c.close()
			if err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	return Result{
		"per_second": float64(count.Load()) / (float64(now()-began) / 1e9),
		"count":      float64(count.Load()),
	}, err
}

// firstBytes asks for short streams one after the other: how soon is the first byte of the body there?
func firstBytes(r *route, task Task) (Result, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	var first []float64
	piece := make([]byte, 4096)
	for range task.Count {
		sent := now()
		body, err := c.ask(fmt.Sprintf("/ticks/3/1000/0/%d", task.Size))
		if err != nil {
			return nil, err
		}
		count, err := body.Read(piece)
		if count == 0 {
			return nil, err
		}
		first = append(first, float64(now()-sent)/1e6)
		if err == io.EOF { // on a busy machine all of it may come at once
			continue
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return nil, err
		}
	}
	return quantiles(first[len(first)/10:]), nil
}

// ticks opens streams at a pace and takes the time that each event was under way.
func ticks(r *route, task Task) (Result, error) {
	clients, err := dialAll(r, task.Connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	stop := make(chan struct{})
	bigErr := make(chan error, 1)
	var bigs atomic.Int64
	go func() { bigErr <- bigBodies(r, task, &bigs, stop) }()
	count := int((task.WarmSeconds + task.Seconds) * float64(task.Rate))
	warmAt, flows := whenAllFlow(len(clients), task)
	heard := make([][]arrival, len(clients))
	err = everyone(clients, func(which int, c *client) error {
		// Each stream begins at a moment of its own, as streams do.
		phase := rand.Intn(1_000_000 / task.Rate)
		body, err := c.ask(fmt.Sprintf("/ticks/%d/%d/%d/%d", count, task.Rate, phase, task.Size))
		flows()
		if err != nil {
			return err
		}
		heard[which], err = eventsOf(body)
		return err
	})
	close(stop)
	err = errors.Join(err, <-bigErr)
	if err != nil {
		return nil, err
	}
	result := ageQuantiles(heard, warmAt.Load())
	result["big"] = float64(bigs.Load())
	return result, nil
}

// whenAllFlow returns from when on to measure, far in the future until each of some streams has said that it flows: what
// opening them costs is measured elsewhere.
func whenAllFlow(streams int, task Task) (*atomic.Int64, func()) {
	var flowing, warmAt atomic.Int64
	warmAt.Store(math.MaxInt64)
	return &warmAt, func() {
		if flowing.Add(1) == int64(streams) {
			warmAt.Store(now() + int64(task.WarmSeconds*1e9))
		}
	}
}

// bigBodies asks for a long body again and again, until it is told to stop.
func bigBodies(r *route, task Task, count *atomic.Int64, stop chan struct{}) error {
	if task.BigEverySeconds == 0 {
		return nil
	}
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.close()
	next := time.NewTicker(time.Duration(task.BigEverySeconds * 1e9))
	defer next.Stop()
	for {
		if _, err := c.fetch(fmt.Sprintf("/json/%d", task.BigSize)); err != nil {
			return err
		}
		count.Add(1)
		select {
		case <-stop:
			return nil
		case <-next.C:
		}
	}
}

// An arrival of an event: when it was sent, and how old it was then, in milliseconds.
type arrival struct {
	at  int64
	age float64
}

// eventsOf reads a stream to its end.
func eventsOf(body io.Reader) ([]arrival, error) {
	var events []arrival
	lines := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 1 {
			continue
		}
		at, err := strconv.ParseInt(string(line[len(`data: {"at":`):][:19]), 10, 64)
		if err != nil {
			return nil, err
		}
		events = append(events, arrival{at, float64(now()-at) / 1e6})
	}
}

// ageQuantiles tells how old events were that were sent from a moment on and before the first stream ended; and beside
// it the p99 of all from that moment on: the streams all end within moments here, which costs what ends of requests do.
func ageQuantiles(heard [][]arrival, from int64) Result {
	until := int64(math.MaxInt64)
	for _, stream := range heard {
		if len(stream) > 0 {
			until = min(until, stream[len(stream)-1].at)
		}
	}
	var steady, all []float64
	for _, one := range slices.Concat(heard...) {
		if from <= one.at {
			all = append(all, one.age)
			if one.at < until {
				steady = append(steady, one.age)
			}
		}
	}
	result := quantiles(steady)
	result["p99_with_ends_ms"] = quantiles(all)["p99_ms"]
	return result
}

// flatOut lets some streams send as fast as they can and counts the events that come through.
func flatOut(r *route, task Task) (Result, error) {
	clients, err := dialAll(r, task.Connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	path := fmt.Sprintf("/flat/%d/%d/", int((task.WarmSeconds+task.Seconds)*1e3), task.Size)
	warmAt := now() + int64(task.WarmSeconds*1e9)
	var all, counted, last atomic.Int64
	err = everyone(clients, func(which int, c *client) error {
		arrived[which].Store(0)
		body, err := c.ask(path + strconv.Itoa(which))
		if err != nil {
			return err
		}
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

// bulk fetches one long body.
func bulk(r *route, task Task) (Result, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	began := now()
	size, err := c.fetch(fmt.Sprintf("/bytes/%d", task.Size))
	if err != nil {
		return nil, err
	}
	if size != int64(task.Size) {
		return nil, fmt.Errorf("%d bytes came in place of %d", size, task.Size)
	}
	seconds := float64(now()-began) / 1e9
	megabytes := float64(size) / 1e6
	return Result{"mb_per_second": megabytes / seconds, "seconds": seconds, "count": megabytes}, nil
}

// everyone does the same with each client, side by side, and returns what went wrong.
func everyone(clients []*client, work func(int, *client) error) error {
	errs := make([]error, len(clients))
	var group sync.WaitGroup
	for which, c := range clients {
		group.Add(1)
		go func() {
			defer group.Done()
			errs[which] = work(which, c)
		}()
	}
	group.Wait()
	return errors.Join(errs...)
}

func dialAll(r *route, count int) ([]*client, error) {
	clients := make([]*client, count)
	gate := make(chan struct{}, dialing)
	err := everyone(clients, func(which int, _ *client) error {
		gate <- struct{}{}
		defer func() { <-gate }()
		c, err := r.dial()
		clients[which] = c
		return err
	})
	if err != nil {
		closeAll(clients)
	}
	return clients, err
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
}

func quantiles(values []float64) Result {
	if len(values) == 0 {
		return Result{"samples": 0}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[min(len(values)-1, int(float64(len(values))*share))] }
	return Result{
		"samples": float64(len(values)),
		"p50_ms":  at(0.5),
		"p90_ms":  at(0.9),
		"p95_ms":  at(0.95),
		"p99_ms":  at(0.99),
		"max_ms":  values[len(values)-1],
	}
}

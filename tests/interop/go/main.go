// Command govcr performs the requests of a plan through go-vcr: mode "record" records them in-process, mode
// "replay" answers them from a cassette and never reaches a network.
package main

import (
	"fmt"
	"os"
	"strings"

	"gopkg.in/dnaeon/go-vcr.v4/pkg/recorder"

	"wiretape.example/goclient/plan"
)

func main() {
	if err := plan.Run(os.Stdin, os.Stdout, perform); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func perform(group plan.Group, report func(plan.Result)) error {
	options := []recorder.Option{
		recorder.WithSkipRequestLatency(true),
		recorder.WithHook(filterHeaders, recorder.AfterCaptureHook),
	}
	if group.Layout != "go-vcr" {
		options = append(options, recorder.WithMarshalFunc(marshalCompact))
	}
	matcher, err := matcherOf(group.Matcher)
	if err != nil {
		return err
	}
	options = append(options, recorder.WithMatcher(matcher))
	switch group.Mode {
	case "record":
		transport, err := group.Transport()
		if err != nil {
			return err
		}
		defer transport.CloseIdleConnections()
		options = append(options, recorder.WithMode(recorder.ModeRecordOnly), recorder.WithRealTransport(transport))
	case "replay":
		options = append(options, recorder.WithMode(recorder.ModeReplayOnly), recorder.WithRealTransport(noNetwork{}))
	default:
		return fmt.Errorf("no such mode: %q", group.Mode)
	}
	vcr, err := recorder.New(strings.TrimSuffix(group.Cassette, ".yaml"), options...)
	if err != nil {
		return err
	}
	group.Perform(vcr, report)
	return vcr.Stop()
}

// Command goclient performs the requests of a plan on its standard input with Go's own HTTP client.
package main

import (
	"fmt"
	"os"

	"wiretape.example/goclient/plan"
)

func main() {
	err := plan.Run(os.Stdin, os.Stdout, func(group plan.Group, report func(plan.Result)) error {
		transport, err := group.Transport()
		if err != nil {
			return err
		}
		defer transport.CloseIdleConnections()
		group.Perform(transport, report)
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

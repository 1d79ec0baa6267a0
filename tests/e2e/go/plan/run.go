package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Run reads a plan, hands each group to the given function, and prints each result as a line of JSON at once.
func Run(input io.Reader, output io.Writer, perform func(Group, func(Result)) error) error {
	var plan Plan
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&plan); err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	var turn sync.Mutex
	var failure error
	encoder := json.NewEncoder(output)
	report := func(result Result) {
		turn.Lock()
		defer turn.Unlock()
		if err := encoder.Encode(result); err != nil && failure == nil {
			failure = err
		}
	}
	var group sync.WaitGroup
	places := make(chan struct{}, max(plan.Parallel, 1))
	for _, g := range plan.Groups {
		places <- struct{}{}
		group.Add(1)
		go func() {
			defer func() { <-places; group.Done() }()
			if err := perform(g, report); err != nil {
				turn.Lock()
				defer turn.Unlock()
				if failure == nil {
					failure = fmt.Errorf("%s: %w", g.Name, err)
				}
			}
		}()
	}
	group.Wait()
	return failure
}

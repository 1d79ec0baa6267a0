package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"gopkg.in/dnaeon/go-vcr.v4/pkg/cassette"
)

// kept are the headers that a cassette holds; the rest is filtered when it is recorded.
var kept = []string{"Accept", "Content-Type", "User-Agent"}

// filterHeaders drops what is not kept, on both sides, before an interaction is stored. The client's own request
// and response are left alone: the maps are replaced, not changed.
func filterHeaders(interaction *cassette.Interaction) error {
	interaction.Request.Headers = filtered(interaction.Request.Headers)
	interaction.Response.Headers = filtered(interaction.Response.Headers)
	return nil
}

func filtered(headers http.Header) http.Header {
	result := http.Header{}
	for name, values := range headers {
		if slices.Contains(kept, name) {
			result[name] = values
		}
	}
	return result
}

// marshalCompact lays a cassette out with indent 2 and compact sequences; go-vcr's own default is indent 4.
func marshalCompact(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := yaml.NewEncoder(&buffer)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return buffer.Bytes(), encoder.Close()
}

func matcherOf(name string) (cassette.MatcherFunc, error) {
	switch name {
	case "", "default":
		return cassette.DefaultMatcher, nil
	case "ignore-filtered":
		return ignoreFiltered, nil
	case "loose":
		return loose, nil
	}
	return nil, fmt.Errorf("no such matcher: %q", name)
}

// ignoreFiltered is go-vcr's DefaultMatcher, told to ignore each header of the request that a cassette does not hold.
func ignoreFiltered(request *http.Request, recorded cassette.Request) bool {
	var ignored []string
	for name := range request.Header {
		if !slices.Contains(kept, name) {
			ignored = append(ignored, name)
		}
	}
	return cassette.NewDefaultMatcher(cassette.WithIgnoreHeaders(ignored...))(request, recorded)
}

// loose matches on method, URL and body; bodies are equal as text, line breaks aside, or as JSON. A request
// without a body is matched by the DefaultMatcher.
func loose(request *http.Request, recorded cassette.Request) bool {
	if request.Body == nil || request.Body == http.NoBody {
		return cassette.DefaultMatcher(request, recorded)
	}
	if request.Method != recorded.Method || request.URL.String() != recorded.URL {
		return false
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return false
	}
	request.Body.Close()
	request.Body = io.NopCloser(bytes.NewReader(body))
	return sameText(string(body), recorded.Body) || sameJSON(body, []byte(recorded.Body))
}

func sameText(one, other string) bool {
	return strings.ReplaceAll(one, "\r\n", "\n") == strings.ReplaceAll(other, "\r\n", "\n")
}

func sameJSON(one, other []byte) bool {
	var first, second any
	return json.Unmarshal(one, &first) == nil && json.Unmarshal(other, &second) == nil && reflect.DeepEqual(first, second)
}

// noNetwork is the transport of a replay: a request that reaches it was not answered from the cassette.
type noNetwork struct{}

func (noNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	return nil, errors.New("a replay reached for the network: " + request.URL.String())
}

#!/bin/sh
# One plain and one streamed call with curl, whose path is the argument; writes both bodies as it got them.
set -eu
url=https://api.openai.com/v1/chat/completions

# The key goes through standard input: the process list has the arguments.
ask() {
	printf 'header = "Authorization: Bearer %s"\n' "$OPENAI_API_KEY" |
		"$curl" --silent --show-error --fail --no-buffer --config - --header 'Content-Type: application/json' \
			--data "{\"model\":\"made\",\"messages\":[{\"role\":\"user\",\"content\":\"Wie warm ist es? 🌡\"}],\"stream\":$1}" \
			"$url"
}

curl=$1
ask false
ask true

// Command matrix makes one plain and one streamed call with one of Go's clients, at the host that it asks by default.
//
// The argument names the client; keys come from the environment under the names that the SDKs know. An SDK prints
// the text that it got, a line for the plain call and one for the streamed one, each piece as soon as it is there;
// net/http writes both bodies as it got them.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

const (
	model    = "made"
	question = "Wie warm ist es? 🌡"
	url      = "https://api.openai.com/v1/chat/completions"
)

func main() {
	log.SetFlags(0)
	clients := map[string]func() error{
		"net/http":         netHTTP,
		"openai":           openaiChat,
		"openai-responses": openaiResponses,
		"anthropic":        anthropicMessages,
	}
	if err := clients[os.Args[1]](); err != nil {
		log.Fatal(err)
	}
}

func netHTTP() error {
	for _, stream := range []bool{false, true} {
		body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%t}`, model, question, stream)
		request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func openaiChat() error {
	client := openai.NewClient()
	parameters := openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
	}
	answer, err := client.Chat.Completions.New(context.Background(), parameters)
	if err != nil {
		return err
	}
	fmt.Println(answer.Choices[0].Message.Content)
	stream := client.Chat.Completions.NewStreaming(context.Background(), parameters)
	for stream.Next() {
		fmt.Print(stream.Current().Choices[0].Delta.Content)
	}
	return stream.Err()
}

func openaiResponses() error {
	client := openai.NewClient()
	parameters := responses.ResponseNewParams{
		Model: model,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(question)},
	}
	answer, err := client.Responses.New(context.Background(), parameters)
	if err != nil {
		return err
	}
	fmt.Println(answer.OutputText())
	stream := client.Responses.NewStreaming(context.Background(), parameters)
	for stream.Next() {
		if event := stream.Current(); event.Type == "response.output_text.delta" {
			fmt.Print(event.Delta)
		}
	}
	return stream.Err()
}

func anthropicMessages() error {
	client := anthropic.NewClient()
	parameters := anthropic.MessageNewParams{
		Model:     model,
		MaxTokens: 99,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(question))},
	}
	answer, err := client.Messages.New(context.Background(), parameters)
	if err != nil {
		return err
	}
	fmt.Println(answer.Content[0].Text)
	stream := client.Messages.NewStreaming(context.Background(), parameters)
	for stream.Next() {
		if event := stream.Current(); event.Type == "content_block_delta" {
			fmt.Print(event.Delta.Text)
		}
	}
	return stream.Err()
}

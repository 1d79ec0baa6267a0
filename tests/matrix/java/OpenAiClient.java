import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.StreamResponse;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** One plain and one streamed call with openai-java; prints the text of each, piece by piece. */
public final class OpenAiClient {
    public static void main(String[] arguments) {
        PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        OpenAIClient client = OpenAIOkHttpClient.builder().fromEnv().maxRetries(0).build();
        ChatCompletionCreateParams request =
                ChatCompletionCreateParams.builder().model("made").addUserMessage("Wie warm ist es? 🌡").build();
        client.chat().completions().create(request).choices().get(0).message().content().ifPresent(output::println);
        try (StreamResponse<ChatCompletionChunk> chunks = client.chat().completions().createStreaming(request)) {
            chunks.stream().forEach(chunk -> chunk.choices().get(0).delta().content().ifPresent(text -> {
                output.print(text);
                output.flush();
            }));
        }
        // The threads of its connection pool would keep the process for a minute.
        client.close();
        System.exit(0);
    }
}

import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** One plain and one streamed call with Java's own HttpClient; writes both bodies as it got them. */
public final class HttpClientCalls {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String stream : new String[] {"false", "true"}) {
            String body = "{\"model\":\"made\",\"messages\":[{\"role\":\"user\",\"content\":\"Wie warm ist es? 🌡\"}],"
                    + "\"stream\":" + stream + "}";
            HttpRequest request = HttpRequest.newBuilder(URI.create("https://api.openai.com/v1/chat/completions"))
                    .header("Content-Type", "application/json")
                    .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
                    .POST(HttpRequest.BodyPublishers.ofString(body))
                    .build();
            HttpResponse<InputStream> response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            try (InputStream input = response.body()) {
                byte[] piece = new byte[65536];
                for (int length; (length = input.read(piece)) >= 0; ) {
                    System.out.write(piece, 0, length);
                    System.out.flush();
                }
            }
        }
    }
}

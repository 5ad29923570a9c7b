// What to paste: a page that subscribes, and programs that publish, each with the address and the token of this hub.
//
// A snippet is a function of { hub, origin, token }: `hub` is an absolute URL. conformance/browser/tests/home.test.mjs runs
// each of them whose language is installed.

export const TOPIC = "https://example.com/hello";

export const SUBSCRIBING = {
  EventSource: {
    note: "Save it as index.html. Nothing to install: every browser has EventSource.",
    text: ({ hub }) => `<!doctype html>
<meta charset="utf-8">
<title>Hello</title>
<ul id="news"></ul>
<script>
  const url = new URL("${hub}");
  url.searchParams.append("match", "${TOPIC}");
  new EventSource(url).onmessage = ({ data }) => {
    const item = document.createElement("li");
    item.textContent = data;
    document.querySelector("#news").append(item);
  };
</script>
`,
  },
  "tidings-client": {
    note: "The same with the client of this hub: it falls back to WebSocket and long polling, and says when updates may be missing.",
    text: ({ hub, origin }) => `<!doctype html>
<meta charset="utf-8">
<title>Hello</title>
<ul id="news"></ul>
<script type="module">
  import { connect } from "${origin}/tidings.mjs";

  connect("${hub}", {
    topics: "${TOPIC}",
    onUpdate({ data }) {
      const item = document.createElement("li");
      item.textContent = data;
      document.querySelector("#news").append(item);
    },
    onGap: () => location.reload(),
  });
</script>
`,
  },
};

export const PUBLISHING = {
  curl: {
    note: "In a terminal.",
    text: ({ hub, token }) => `curl '${hub}' \\
  -H 'Authorization: Bearer ${token}' \\
  -d 'topic=${TOPIC}' \\
  --data-urlencode 'data=Hello from curl'
`,
  },
  PHP: {
    note: "publish.php, without extensions: php publish.php",
    text: ({ hub, token }) => `<?php
$token = '${token}';
$request = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        "Authorization: Bearer $token",
        'Content-Type: application/x-www-form-urlencoded',
    ],
    'content' => http_build_query([
        'topic' => '${TOPIC}',
        'data' => 'Hello from PHP',
    ]),
]]);
echo file_get_contents('${hub}', false, $request), "\\n";
`,
  },
  Node: {
    note: "publish.mjs: node publish.mjs",
    text: ({ hub, token }) => `const token = "${token}";
const answer = await fetch("${hub}", {
  method: "POST",
  headers: { Authorization: \`Bearer \${token}\` },
  body: new URLSearchParams({
    topic: "${TOPIC}",
    data: "Hello from Node",
  }),
});
console.log(answer.status, await answer.text());
`,
  },
  Python: {
    note: "publish.py, with the standard library: python3 publish.py",
    text: ({ hub, token }) => `from urllib.parse import urlencode
from urllib.request import Request, urlopen

token = "${token}"
form = {"topic": "${TOPIC}", "data": "Hello from Python"}
request = Request(
    "${hub}",
    data=urlencode(form).encode(),
    headers={"Authorization": f"Bearer {token}"},
)
print(urlopen(request).read().decode())
`,
  },
  Ruby: {
    note: "publish.rb, with the standard library: ruby publish.rb",
    text: ({ hub, token }) => `require "net/http"

token = "${token}"
form = { topic: "${TOPIC}", data: "Hello from Ruby" }
answer = Net::HTTP.post(
  URI("${hub}"),
  URI.encode_www_form(form),
  "Authorization" => "Bearer #{token}",
  "Content-Type" => "application/x-www-form-urlencoded"
)
puts answer.code, answer.body
`,
  },
  Go: {
    note: "publish.go, with the standard library: go run publish.go",
    text: ({ hub, token }) => `package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

func main() {
	token := "${token}"
	form := url.Values{
		"topic": {"${TOPIC}"},
		"data":  {"Hello from Go"},
	}
	request, err := http.NewRequest("POST", "${hub}", strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.Status, string(body))
}
`,
  },
  Java: {
    note: "Publish.java, Java 11 or later: java Publish.java",
    text: ({ hub, token }) => `import java.net.URI;
import java.net.URLEncoder;
import java.net.http.*;
import static java.nio.charset.StandardCharsets.UTF_8;

public class Publish {
    public static void main(String[] arguments) throws Exception {
        String token = "${token}";
        String form = "topic=" + URLEncoder.encode("${TOPIC}", UTF_8)
            + "&data=" + URLEncoder.encode("Hello from Java", UTF_8);
        HttpRequest request = HttpRequest.newBuilder(URI.create("${hub}"))
            .header("Authorization", "Bearer " + token)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(HttpRequest.BodyPublishers.ofString(form))
            .build();
        HttpResponse<String> answer = HttpClient.newHttpClient()
            .send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }
}
`,
  },
};

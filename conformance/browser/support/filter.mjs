// An HTTP proxy as some offices have it: it holds back streams until they end, and knows no WebSocket.

import { createServer, request as ask } from "node:http";
import { listen } from "./ports.mjs";

// Stands before `port()` of the loopback address, and ends with the test `t`. Returns its port.
export async function startFilter(t, port) {
  const server = createServer((request, response) => {
    const { method, url, headers } = request;
    const onward = ask({ host: "127.0.0.1", port: port(), method, path: url, headers }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => response.writeHead(answer.statusCode, answer.headers).end(Buffer.concat(pieces)));
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  server.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  return listen(t, server);
}

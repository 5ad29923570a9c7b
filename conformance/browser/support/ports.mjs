// Ports of the loopback address.

import { once } from "node:events";
import { createServer } from "node:net";

// Lets a server listen on a port of its own until the test `t` ends. Returns the port.
export async function listen(t, server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address().port;
}

// Returns a port that nobody uses at the moment.
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Tokens as they were before Mercure 1.0, signed without the hub's help.

import { createHmac } from "node:crypto";

export function oldToken(secret, mercure) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ mercure })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

// Tokens signed without the hub's help.

import { createHmac } from "node:crypto";

// As they were before Mercure 1.0.
export function oldToken(secret, mercure) {
  return sign(secret, "JWT", { mercure });
}

// As they are in Mercure 1.0; the claims come from the caller.
export function newToken(secret, claims) {
  return sign(secret, "at+jwt", claims);
}

function sign(secret, typ, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

// Tokens that are refused before they expire.

import { elsewhere, get, post } from "./api.js";
import { button, element, h, number, row, say, time } from "./dom.js";

const said = element("tokens-said");

element("revoke").addEventListener("submit", (event) => {
  event.preventDefault();
  void revoke();
});

export async function show() {
  const { revocations } = await get("revocations");
  element("no-tokens").hidden = revocations.length > 0;
  element("tokens-rows").replaceChildren(...revocations.map(({ id, until }) => row(
    ["Id", "", h("code", { textContent: id })],
    ["Until", "nowrap", until === null ? "for good" : time(until * 1000)],
    ["Actions", "", button("Reinstate", "plain small", () => void reinstate(id), `Reinstate ${id}`)],
  )));
}

async function revoke() {
  const text = element("revoke-id").value.trim();
  const until = element("revoke-until").value;
  const command = /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text) ? { token: text } : { id: text };
  if (until) command.until = Math.floor(new Date(until).getTime() / 1000);
  try {
    const done = await post("revoke", command);
    element("revoke").reset();
    const end = done.until === null ? "for good" : `until ${time(done.until * 1000)}`;
    say(said, `Refused ${end}; ${number(done.disconnected)} connections were ended.${elsewhere(done)}`, true);
    await show();
  } catch (error) {
    say(said, error.message, false);
  }
}

async function reinstate(id) {
  try {
    const done = await post("reinstate", { id });
    say(said, `The token is accepted again.${elsewhere(done)}`, true);
    await show();
  } catch (error) {
    say(said, error.message, false);
  }
}

// Pushes a message of two parts to a broker until a subscriber of its own has received it, by the npm package zeromq.
// node zeromq_peer.mjs PORT_OF_PULL PORT_OF_PUB

import { Push, Subscriber } from "zeromq";

const [, , pull, pub] = process.argv;
const push = new Push({ linger: 0 });
const subscriber = new Subscriber({ linger: 0 });
push.connect(`tcp://127.0.0.1:${pull}`);
subscriber.connect(`tcp://127.0.0.1:${pub}`);
subscriber.subscribe("topic");

const received = subscriber.receive();
const timer = setInterval(() => push.send(["topic", JSON.stringify({ from: "n", text: "é" })]), 50);
const parts = await received;
clearInterval(timer);
console.log(parts.map(String).join("|"));
push.close();
subscriber.close();

// The chat for old browsers: the topic of the chat beside this page, by the hub's frames over SockJS. What is said goes
// to the hub by a POST and comes back to everybody, the sender too, so that all see the same lines in the same order.

(function () {
  var KEPT_MAX = 500;
  var WAIT_MS_MIN = 1000;
  var WAIT_MS_MAX = 30000;

  var log = document.getElementById("log");
  var list = document.getElementById("said");
  var state = document.getElementById("state");
  var form = document.getElementById("say");
  var trouble = document.getElementById("trouble");
  var cursor = "earliest";
  var waitMs = WAIT_MS_MIN;

  function connect() {
    show("waiting", "Connecting...");
    SockPoll("/sockjs", "match=%2Fchat&last_event_id=" + encodeURIComponent(cursor), {
      open: function (transport) {
        waitMs = WAIT_MS_MIN;
        show("open", "Connected by " + transport);
      },
      text: onFrame,
      close: function () {
        show("waiting", "Connection lost, trying again...");
        setTimeout(connect, waitMs);
        waitMs = Math.min(waitMs * 2, WAIT_MS_MAX);
      }
    });
  }

  function show(name, words) {
    state.className = name;
    state.firstChild.nodeValue = words;
  }

  function onFrame(text) {
    var frame = parse(text);
    if (frame.open) cursor = frame.open.last_event_id;
    if (!frame.update) return;
    cursor = frame.update.id;
    // A peer that speaks in the room without this page may send anything.
    var said;
    try { said = parse(frame.update.data); } catch (ignored) { said = null; }
    if (said && typeof said.from === "string" && typeof said.text === "string") add(said.from, said.text);
    else add("", frame.update.data);
  }

  function add(from, text) {
    var empty = document.getElementById("empty");
    if (empty) list.removeChild(empty);
    var atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    var item = document.createElement("li");
    var name = document.createElement("span");
    name.className = "from";
    // Text nodes: what people write is text, whatever it looks like.
    name.appendChild(document.createTextNode(from ? from + ": " : ""));
    item.appendChild(name);
    item.appendChild(document.createTextNode(text));
    list.appendChild(item);
    while (list.childNodes.length > KEPT_MAX) list.removeChild(list.firstChild);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  form.onsubmit = function () {
    var from = form.from.value;
    var text = form.text.value;
    if (!from || !text) {
      (from ? form.text : form.from).focus();
      return false;
    }
    var request = newRequest();
    // Without it the browser sends the form itself.
    if (!request) return true;
    request.onreadystatechange = function () {
      if (request.readyState !== 4) return;
      trouble.innerHTML = "";
      if (request.status === 200) return;
      trouble.appendChild(document.createTextNode("Not sent: the hub cannot be reached. Try again."));
      if (!form.text.value) form.text.value = text;
    };
    request.open("POST", form.action, true);
    request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    request.send("from=" + encodeURIComponent(from) + "&text=" + encodeURIComponent(text));
    form.text.value = "";
    form.text.focus();
    return false;
  };

  // A script that is waited for before the page is complete would keep it loading for ever.
  window.onload = function () { setTimeout(connect, 0); };
})();

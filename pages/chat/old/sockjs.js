// SockJS as small as it can be: polling by XMLHttpRequest and, where that does not come through, by scripts (JSONP).
//
// ECMAScript 3 of 1999 and nothing younger. `SockPoll(base, query, on)` begins a session; `on.open()`, `on.text(text)`
// and `on.close(code, reason)` are called. It does not connect again by itself.

function SockPoll(base, query, on) {
  var url = base + "/" + digits(3) + "/" + digits(10);
  var ways = [byRequest, byScript];
  var way = 0;
  var opened = false;
  var closed = false;
  var wanted = null; // the answer that is waited for
  var count = 0;

  function digits(length) {
    var text = "";
    while (text.length < length) text += String(Math.random()).charAt(3) || "0";
    return text;
  }

  // Each address is new, since some browsers keep even what they are told not to keep.
  function address(transport, more) {
    count += 1;
    return url + "/" + transport + "?" + query + "&t=" + new Date().getTime() + count + (more || "");
  }

  function poll() {
    if (!closed) ways[way]();
  }

  function byRequest() {
    var request = newRequest();
    if (!request) return fail();
    wanted = request;
    request.onreadystatechange = function () {
      if (request.readyState !== 4 || wanted !== request) return;
      wanted = null;
      // Breaking off leaves a request without a status; asking for it throws in some browsers.
      var status = 0;
      try { status = request.status; } catch (ignored) {}
      if (status === 200) onFrame(request.responseText);
      else fail();
    };
    request.open("POST", address("xhr"), true);
    request.send("");
  }

  function byScript() {
    var name = "sockpoll" + digits(8);
    var script = document.createElement("script");
    var done = false;
    function end() {
      if (done) return false;
      done = true;
      window[name] = function () {};
      if (script.parentNode) script.parentNode.removeChild(script);
      return true;
    }
    window[name] = function (frame) { if (end()) onFrame(frame); };
    // What has loaded without calling was no answer.
    script.onerror = function () { if (end()) fail(); };
    script.onreadystatechange = function () {
      if (/loaded|complete/.test(script.readyState)) setTimeout(script.onerror, 100);
    };
    script.src = address("jsonp", "&c=" + name);
    document.getElementsByTagName("head")[0].appendChild(script);
  }

  function onFrame(frame) {
    var kind = frame.charAt(0);
    var content = frame.substring(1);
    if (kind === "c") {
      var close = parse(content);
      return end(close[0], close[1]);
    }
    if (kind === "o") {
      opened = true;
      on.open(way === 0 ? "xhr" : "jsonp");
    }
    if (kind === "a") {
      var texts = parse(content);
      for (var at = 0; at < texts.length; at += 1) on.text(texts[at]);
    }
    // Not at once: an answer that comes from a cache would make this go round without end.
    setTimeout(poll, 0);
  }

  function fail() {
    if (!opened && way < ways.length - 1) {
      way += 1;
      url = base + "/" + digits(3) + "/" + digits(10);
      return poll();
    }
    end(1006, "the connection was lost");
  }

  function end(code, reason) {
    if (closed) return;
    closed = true;
    on.close(code, reason);
  }

  poll();
  return {
    close: function () {
      closed = true;
      var request = wanted;
      wanted = null;
      if (request) request.abort();
    }
  };
}

// The name of the constructor changed with the years.
function newRequest() {
  if (window.XMLHttpRequest) return new XMLHttpRequest();
  try { return new ActiveXObject("Microsoft.XMLHTTP"); } catch (ignored) { return null; }
}

// Browsers have JSON since 2009. Before, it was read as a program, once it was certain to be nothing but data.
function parse(text) {
  if (window.JSON) return JSON.parse(text);
  var rest = text.replace(/\\(["\\\/bfnrt]|u[0-9a-fA-F]{4})/g, "@").replace(/"[^"\\\n\r]*"|true|false|null|-?\d+(\.\d*)?([eE][+\-]?\d+)?/g, "]").replace(/(^|:|,)(\s*\[)+/g, "");
  if (!/^[\],:{}\s]*$/.test(rest)) throw new Error("not JSON");
  return (new Function("return (" + text + ")"))();
}

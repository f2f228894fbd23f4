// What a page sees of the guard: as little as there is to see. Returns a list of complaints.
return (async () => {
  const complaints = [];
  const check = (what, is, expected) => {
    if (is !== expected) complaints.push(`${what}: ${is} instead of ${expected}`);
  };
  const event = (target, type, start) => new Promise((done) => {
    target.addEventListener(type, () => done(type));
    setTimeout(done, 3000, "no " + type);
    start();
  });
  const to = TRACKER + "/manners";

  // Elements fail as they would if nobody answered, and remember what was written.
  for (const [name, key] of [["script", "src"], ["img", "src"], ["link", "href"], ["video", "src"], ["input", "src"]]) {
    const element = document.createElement(name);
    if (name === "link") element.rel = "stylesheet";
    if (name === "input") element.type = "image";
    check(name, await event(element, "error", () => {
      element[key] = to + "#there";
      document.body.append(element);
    }), "error");
    check(`${name}.${key}`, element[key], to + "#there");
    check(`${name} attribute`, element.getAttribute(key), to + "#there");
    check(`${name} mark`, element.getAttribute("data-consentry-held"), "");
    element[key] = "/allowed";
    check(`${name} freed`, element.getAttribute(key), "/allowed");
    check(`${name} mark gone`, element.hasAttribute("data-consentry-held"), false);
  }
  const relative = document.createElement("script");
  relative.setAttribute("src", to.replace("http:", ""));
  check("attribute as written", relative.getAttribute("src"), to.replace("http:", ""));
  check("property resolved", relative.src, to);
  const outer = document.createElement("div");
  outer.innerHTML = `<p title="it's" class=a>1<img alt="x" src="${to}" onerror="window.failed = true"><b>2</b></p>`;
  check("markup", outer.innerHTML,
    `<p title="it's" class="a">1<img alt="x" src="" onerror="window.failed = true" data-consentry-held=""><b>2</b></p>`);
  check("src in markup", outer.querySelector("img").src, "");
  await new Promise((done) => setTimeout(done, 50));
  check("onerror in markup", window.failed, true);
  const frame = document.createElement("iframe");
  check("iframe", await event(frame, "load", () => {
    frame.src = to;
    document.body.append(frame);
  }), "load");

  // Requests succeed with nothing in them.
  const response = await fetch(to);
  check("response", `${response.ok} ${response.status} ${await response.text()}`, "true 200 ");
  check("response type", response instanceof Response, true);
  check("json", JSON.stringify(await (await fetch(new URL(to))).json()), "{}");
  const request = new XMLHttpRequest();
  const states = [];
  for (const type of ["readystatechange", "load", "loadend", "error"]) {
    request["on" + type] = () => states.push(type + request.readyState);
  }
  request.open("GET", to);
  request.responseType = "json";
  request.send();
  await new Promise((done) => setTimeout(done, 50));
  check("states", states.join(), "readystatechange1,readystatechange4,load4,loadend4");
  check("status", `${request.status} ${request.response}`, "204 null");
  check("again", await event(request, "load", () => {
    request.open("GET", "/allowed");
    request.responseType = "text";
    request.send();
  }), "load");
  check("again status", `${request.readyState} ${request.status} ${request.responseText}`, "4 200 allowed");
  const synchronous = new XMLHttpRequest();
  synchronous.open("GET", to, false);
  synchronous.send();
  check("synchronous", `${synchronous.readyState} ${synchronous.status} "${synchronous.responseText}"`, '4 204 ""');
  check("beacon", navigator.sendBeacon(to), true);
  const socket = new WebSocket(to.replace("http", "ws"));
  socket.send("x");
  check("socket", `${socket instanceof WebSocket} ${socket.readyState} ${socket.url}`, `true 0 ${to.replace("http", "ws")}`);
  socket.close();
  check("socket closed", socket.readyState, WebSocket.CLOSED);
  const source = new EventSource(to);
  source.close();
  check("source", source.readyState, EventSource.CLOSED);
  class Mine extends WebSocket { hello() { return "hello"; } }
  check("subclass", new Mine(to.replace("http", "ws")).hello(), "hello");
  const worker = new Worker(to);
  worker.onmessage = () => complaints.push("message");
  worker.postMessage(1);
  worker.terminate();
  check("worker", worker instanceof Worker && worker instanceof EventTarget, true);
  const shared = new SharedWorker(to);
  shared.port.start();
  check("audio", new Audio(to).src, to);
  check("audio kind", new Audio(to) instanceof HTMLAudioElement, true);
  check("picture", new Image(3, 4).width, 3);

  // Styles are the objects they were.
  const { style } = document.body;
  check("style", style instanceof CSSStyleDeclaration && style === document.body.style, true);
  style.setProperty("color", "rgb(1, 2, 3)");
  style.marginTop = "4px";
  style["margin-bottom"] = "5px";
  check("style text", style.cssText, "color: rgb(1, 2, 3); margin-top: 4px; margin-bottom: 5px;");
  check("style list", `${style.length} ${style[0]} ${style.item(1)} ${[...style].join()}`, "3 color margin-top color,margin-top,margin-bottom");
  check("style read", `${style.color} ${style.getPropertyValue("margin-top")} ${"color" in style} ${"nonsense" in style}`,
    "rgb(1, 2, 3) 4px true false");
  check("style remove", `${style.removeProperty("color")} ${style.color}`, "rgb(1, 2, 3) ");
  Object.assign(style, { width: "50px" });
  check("style assigned", document.body.getAttribute("style"), "margin-top: 4px; margin-bottom: 5px; width: 50px;");
  style.backgroundImage = 'url("/allowed.png"), linear-gradient(red, blue)';
  check("style url", style.backgroundImage, 'url("/allowed.png"), linear-gradient(red, blue)');
  check("computed", getComputedStyle(document.body).width, "50px");
  document.body.removeAttribute("style");

  // Errors stay the browser's.
  const error = (what) => {
    try {
      what();
      return "none";
    } catch (thrown) {
      return thrown.name;
    }
  };
  check("appendChild()", error(() => document.body.appendChild()), "TypeError");
  check("appendChild(1)", error(() => document.body.appendChild(1)), "TypeError");
  check("a loop", error(() => document.body.appendChild(document.documentElement)), "HierarchyRequestError");
  check("setAttribute", error(() => document.body.setAttribute("a b", "x")), "InvalidCharacterError");
  check("stranger", error(() => Element.prototype.setAttribute.call({}, "src", to)), "TypeError");
  check("no new", error(() => WebSocket(to)), "TypeError");
  check("bad url", error(() => new WebSocket("nonsense://x")), "SyntaxError");
  check("no constructor", error(() => new fetch(to)), "TypeError");
  const text = {
    toString() { throw new RangeError("mine"); },
  };
  check("own error", error(() => (document.createElement("img").src = text)), "RangeError");
  check("null", (outer.innerHTML = null, outer.innerHTML), "");

  // Functions look like the ones they stand for.
  for (const [owner, key] of [[window, "fetch"], [Node.prototype, "appendChild"], [Element.prototype, "setAttribute"],
    [Document.prototype, "write"], [window, "WebSocket"], [window, "Audio"], [Function.prototype, "toString"]]) {
    const { value, enumerable, writable, configurable } = Object.getOwnPropertyDescriptor(owner, key);
    check(`${key} text`, Function.prototype.toString.call(value), `function ${key}() { [native code] }`);
    check(`${key} name`, value.name, key);
    check(`${key} kind`, `${writable} ${configurable}`, "true true");
    check(`${key} listed`, enumerable, !["WebSocket", "Audio", "toString"].includes(key));
  }
  check("length", `${Element.prototype.setAttribute.length} ${fetch.length} ${WebSocket.length}`, "2 1 1");
  const { set } = Object.getOwnPropertyDescriptor(HTMLScriptElement.prototype, "src");
  check("setter", `${set.name} ${set}`, "set src function set src() { [native code] }");
  check("constructor", new WebSocket(to.replace("http", "ws")).constructor, WebSocket);
  check("constants", `${WebSocket.OPEN} ${XMLHttpRequest.DONE}`, "1 4");
  return complaints;
})();

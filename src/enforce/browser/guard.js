// consentry's guard: the part of enforcement that runs in the visitor's browser.
//
// What stands in a page was judged on its way here. This script is for what the page's own
// scripts add later: it stands in front of every way to start a request or to keep something on
// the visitor's device, and holds what nobody agreed to. It is the first script of the page,
// asks nobody and loads nothing. The Content-Security-Policy of the page says the same once
// more, so what goes wrong in here costs manners (an error event, a placeholder, a line in the
// ledger), never the visitor's decision.
//
// Three rules hold for every line:
// - page code never meets an exception of ours: a hook that fails leaves the call as it was;
// - what we use was captured before the page's scripts ran, because pages replace anything;
// - what is allowed keeps its meaning: same values, same errors, same order.
//
// There is no way in from outside: no global, no event, no message. Lines that hold only a
// comment are taken out before this file is sent, so no comment stands behind code.
(() => {
  "use strict";

  const script = document.currentScript;
  const config = JSON.parse(script.getAttribute("data-consentry"));
  const self = script.src;
  // What denied vendors keep: `kept.js` put it on its element, unless something kept it from here.
  const names = script.previousElementSibling;
  const kept = names && names.consentry || {};
  // Before a framework compares the page with what it would have rendered.
  if (names && names.consentry) names.remove();
  script.remove();

  // ---- What is used later, as it was before any other script ----

  const { apply, construct, defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  // Browsers move members between a type and the ones it inherits from.
  const part = (type, key, which) => {
    let owner = type.prototype;
    while (!getOwnPropertyDescriptor(owner, key)) owner = getPrototypeOf(owner);
    return uncurried(getOwnPropertyDescriptor(owner, key)[which]);
  };
  const method = (type, key) => part(type, key, "value");
  const getter = (type, key) => part(type, key, "get");
  const slice = method(String, "slice");
  const indexOf = method(String, "indexOf");
  const lower = method(String, "toLowerCase");
  const split = method(String, "split");
  const exec = method(RegExp, "exec");
  const test = (pattern, text) => exec(pattern, text) !== null;
  const { isArray } = Array;
  const { parse, stringify } = JSON;
  const { keys, setPrototypeOf } = Object;
  const { now, parse: instant } = Date;
  const [NativeURL, NativeEvent, NativePromise, NativeProxy, NativeError] =
    [URL, Event, Promise, Proxy, Error];
  const addressOf = getter(URL, "href");
  const protocol = getter(URL, "protocol");
  const hostname = getter(URL, "hostname");
  const port = getter(URL, "port");
  const pathname = getter(URL, "pathname");
  const known = method(WeakMap, "get");
  const note = method(WeakMap, "set");
  const forget = method(WeakMap, "delete");
  const getAttribute = method(Element, "getAttribute");
  const setAttribute = method(Element, "setAttribute");
  const removeAttribute = method(Element, "removeAttribute");
  const rectangle = method(Element, "getBoundingClientRect");
  const localName = getter(Element, "localName");
  const outerHTML = getter(Element, "outerHTML");
  const setInnerHTML = part(Element, "innerHTML", "set");
  const nodeType = getter(Node, "nodeType");
  const ownerDocument = getter(Node, "ownerDocument");
  const parentNode = getter(Node, "parentNode");
  const firstChild = getter(Node, "firstChild");
  const baseURI = getter(Node, "baseURI");
  const isConnected = getter(Node, "isConnected");
  const textContent = getter(Node, "textContent");
  const setTextContent = part(Node, "textContent", "set");
  const attributeName = getter(Attr, "name");
  const attributeValue = getter(Attr, "value");
  const setAttributeValue = part(Attr, "value", "set");
  const attributeOwner = getter(Attr, "ownerElement");
  const defaultView = getter(Document, "defaultView");
  const currentScript = getter(Document, "currentScript");
  const write = method(Document, "write");
  const requestAddress = getter(Request, "url");
  const responseType = getter(XMLHttpRequest, "responseType");
  const rangeParent = getter(Range, "commonAncestorContainer");
  const frameDocument = getter(HTMLIFrameElement, "contentDocument");
  const dispatch = method(EventTarget, "dispatchEvent");
  const listen = method(EventTarget, "addEventListener");
  const catches = method(Promise, "catch");
  const inElement = method(Element, "querySelectorAll");
  const inDocument = method(Document, "querySelectorAll");
  const inFragment = method(DocumentFragment, "querySelectorAll");
  const nativeText = method(Function, "toString");
  const nativeFetch = window.fetch;
  const nativeTimeout = window.setTimeout;
  const later = (what, ms) => apply(nativeTimeout, window, [what, ms || 0]);
  const resolved = (value) => new NativePromise((resolve) => resolve(value));
  const never = () => new NativePromise(() => {});
  const nothing = { value: undefined };

  const each = (list, what) => {
    for (let i = 0; i < list.length; i++) what(list[i]);
  };

  // Goes once over all matches of a pattern with the flag "g". `change` says what takes the
  // place of a match, or nothing to leave it; nothing comes back when all was left.
  const changed = (pattern, text, change) => {
    let out = "";
    let from = 0;
    let match;
    pattern.lastIndex = 0;
    while ((match = exec(pattern, text))) {
      const end = pattern.lastIndex;
      const put = change(match);
      if (put !== undefined) {
        out += slice(text, from, match.index) + put;
        from = end;
      }
      pattern.lastIndex = end;
    }
    return from ? out + slice(text, from) : undefined;
  };

  // ---- May it pass? ----

  // A host source of the policy, in parts. Keywords and schemes other than the network's name
  // nothing that is asked for here.
  const source = (word) => {
    const scheme = /^(https?|wss?):$/i.exec(word);
    if (scheme) return { scheme: scheme[1].replace("ws", "http"), host: "*", path: "" };
    const found =
      /^(?:([a-z][\w+.-]*):\/\/)?(\*(?:\.[^/:]+)?|[^/:'*]+)(?::(\*|\d+))?(\/.*)?$/i.exec(word);
    return found && {
      scheme: found[1] && found[1].toLowerCase().replace("ws", "http"),
      host: found[2].toLowerCase(),
      port: found[3],
      path: found[4] && found[4] !== "/" ? found[4] : "",
    };
  };

  const directives = { __proto__: null };
  for (const directive of (config.policy || "").split(";")) {
    const [name, ...words] = directive.trim().split(/\s+/);
    directives[name.toLowerCase()] = directives[name.toLowerCase()] || words.map(source).filter(Boolean);
  }
  // A hint to prefetch or connect says not what for: it passes where anything would.
  directives["any-src"] = directives["default-src"] && [].concat(...Object.values(directives));

  const exclusions = (config.block || []).map((entry) => {
    const [kinds, address] = entry.split(" ");
    const [, host, path] = /^([^/]*)(.*)$/.exec(address);
    return { kinds: kinds === "*" ? null : kinds.split(","), host, path };
  });

  const SCHEMES = { __proto__: null, "http:": "http", "https:": "https", "ws:": "http", "wss:": "https" };
  const endsWith = (text, end) => slice(text, -end.length) === end;
  const within = (host, wide) => host === wide || endsWith(host, "." + wide);
  const startsWith = (text, start) => slice(text, 0, start.length) === start;

  const isOwn = (scheme, host, port) =>
    host === location.hostname &&
    (port === location.port && scheme + ":" === location.protocol || !port && !location.port);

  // How the policy matches a host: https will do for http, a port has to be named.
  const accepts = (source, scheme, host, port) =>
    (!source.scheme || source.scheme === scheme || source.scheme === "http") &&
    (source.host === "*" || source.host === host ||
      source.host[0] === "*" && endsWith(host, slice(source.host, 1))) &&
    (source.port === "*" || source.host === "*" && !source.port ||
      (source.port || "") === port || !port && (source.port === "443" || source.port === "80"));

  // What is known of a host for one kind of load, whatever the path: worked out once.
  const standings = { __proto__: null };
  let standingCount = 0;
  const standing = (kind, scheme, host, port) => {
    const key = kind + " " + scheme + host + ":" + port;
    if (standings[key]) return standings[key];
    const sources = directives[kind + "-src"] || kind === "worker" && directives["script-src"] ||
      directives["default-src"];
    const found = { open: !sources || isOwn(scheme, host, port), paths: [], shut: [] };
    each(sources || [], (source) => {
      if (!accepts(source, scheme, host, port)) return;
      if (source.path) found.paths[found.paths.length] = source.path;
      else found.open = true;
    });
    each(exclusions, (exclusion) => {
      let meant = !exclusion.kinds;
      each(exclusion.kinds || [], (word) => (meant = meant || word === kind));
      if (meant && within(host, exclusion.host)) found.shut[found.shut.length] = exclusion.path;
    });
    return standingCount++ < 5000 ? (standings[key] = found) : found;
  };

  // Our own pages are never in the way of ourselves; a path of our own host may still be shut.
  const ownIsOpen = !exclusions.some((exclusion) => within(location.hostname, exclusion.host));
  const HOME = location.origin + "/";
  const OPAQUE = /^(?:data|blob|about|javascript):/i;
  const PING = /[?&]gcs=G100(?:&|#|$)/;
  const LOCAL = /^\/?[\w.~%-][^:\\]*$/;

  // The address as the browser would ask for it when it is denied; an empty text when it may
  // pass. What is no address, or leaves no request on the network, passes.
  const denied = (text, kind, base) => {
    if (test(OPAQUE, text)) return "";
    if (ownIsOpen && (startsWith(text, HOME) || startsWith(base, HOME) && test(LOCAL, text))) return "";
    let url;
    try {
      url = new NativeURL(text, base);
    } catch (_) {
      return "";
    }
    const scheme = SCHEMES[protocol(url)];
    if (!scheme) return "";
    const found = standing(kind, scheme, hostname(url), port(url));
    const path = pathname(url);
    let open = found.open;
    each(found.paths, (allowed) => {
      open = open || (endsWith(allowed, "/") ? startsWith(path, allowed) : path === allowed);
    });
    each(found.shut, (shut) => (open = open && !startsWith(path, shut)));
    // What Google's tags send to say that everything was denied to them.
    if (!config.pings && test(PING, text)) open = false;
    return open ? "" : addressOf(url);
  };

  // ---- Telling the proxy what was held, so that it stands in the ledger ----

  const told = { __proto__: null };
  let toldCount = 0;
  let waiting = "";
  let timed = false;

  const send = () => {
    timed = false;
    if (!waiting) return;
    const body = '{"held":[' + waiting + "]}";
    waiting = "";
    const headers = { __proto__: null, "content-type": "application/json" };
    const options = { __proto__: null, method: "POST", keepalive: true, headers, body };
    catches(apply(nativeFetch, window, [(config.prefix || "/.consentry") + "/reports", options]), () => {});
  };

  // Without query and fragment, which may say who the visitor is. The id of a container is no
  // visitor's, and without it nobody could tell which container asked.
  const bare = (address) => exec(/^[^?#]*/, address)[0];
  const placeOf = (address) => bare(address) + (test(PING, address) ? "?gcs=G100" : "");
  const named = (address) => {
    const id = exec(/[?&]id=([A-Z]{1,4}-[A-Z0-9-]+)/, address);
    return bare(address) + (id ? "?id=" + id[1] : "");
  };

  // Whose doing it is: the innermost script that is not this one.
  const asker = () => {
    const page = bare(location.href);
    const stack = new NativeError().stack;
    const lines = /(?:https?|blob):[^\s()]+?(?=:\d+(?::\d+)?\)?(?:\s|$))/g;
    let line;
    while (typeof stack === "string" && (line = exec(lines, stack))) {
      if (line[0] !== self) return bare(line[0]) === page ? "inline" : named(line[0]);
    }
    const running = currentScript(document);
    const address = running && getAttribute(running, "src");
    return address ? named(addressOf(new NativeURL(address, baseURI(document)))) : "inline";
  };

  const report = (kind, what) => {
    const line = stringify(kind === "any" ? "connect" : kind) + ',"url":' + stringify(what);
    if (told[line] || toldCount >= 50) return;
    told[line] = true;
    toldCount++;
    let via = "inline";
    try {
      via = asker();
    } catch (_) {}
    waiting += (waiting && ",") + '{"kind":' + line + ',"via":' + stringify(via) + "}";
    if (!timed) {
      timed = true;
      later(send, 1000);
    }
  };

  // Whether to hold a request that no element makes.
  const held = (input, kind, base) => {
    const address = denied(`${input}`, kind, base);
    if (address) report(kind, placeOf(address));
    return address;
  };

  // ---- What elements load ----

  const MARK = "data-consentry-held";
  const PRELOADS = {
    __proto__: null, script: "script", style: "style", image: "img", font: "font", fetch: "connect",
    track: "media",
  };
  const RELATIONS = {
    __proto__: null, stylesheet: "style", icon: "img", modulepreload: "script", prefetch: "any",
    prerender: "any", preconnect: "any", "dns-prefetch": "any", manifest: "any",
  };
  const linkKind = (link, rel, as) => {
    let kind = "";
    each(split(lower(rel === undefined ? getAttribute(link, "rel") || "" : rel), " "), (word) => {
      kind = kind || (word === "preload"
        ? PRELOADS[lower(as === undefined ? getAttribute(link, "as") || "" : as)]
        : RELATIONS[word]);
    });
    return kind;
  };

  // Attribute by attribute: the elements it makes load something, and what kind of load it is.
  const kinds = (of) => setPrototypeOf(of, null);
  const LOADS = kinds({
    src: kinds({
      script: "script", img: "img", input: "img", iframe: "frame", frame: "frame", embed: "object",
      audio: "media", video: "media", source: "media", track: "media",
    }),
    srcset: kinds({ img: "img", source: "img" }),
    imagesrcset: kinds({ link: "img" }),
    href: kinds({ link: linkKind, script: "script", image: "img", use: "img", feImage: "img" }),
    data: kinds({ object: "object" }),
    poster: kinds({ video: "img" }),
    ping: kinds({ a: "connect", area: "connect" }),
    background: kinds({ body: "img", table: "img", td: "img", th: "img", tr: "img" }),
    style: kinds({ "*": "img" }),
    srcdoc: kinds({ iframe: "frame" }),
  });
  LOADS["xlink:href"] = LOADS.href;
  const ATTRIBUTES = Object.keys(LOADS);
  const LOADERS = "script,img,input,iframe,frame,embed,audio,video,source,track,link,image,use,feImage," +
    "object,[ping],[background],[style],style";

  // What scripts wrote into attributes that we emptied, so that they read it back.
  const memory = new WeakMap();
  let anythingHeld = false;

  const failLater = (element) => later(() => dispatch(element, new NativeEvent("error")));

  // An empty address is what every browser fails to load without a request, at the moment and
  // with the event of a failed load, and without running the text a script may hold besides.
  // Two things do not fail by themselves then: links, and frames, which stay blank.
  const hold = (element, name, attribute, text, address, kind) => {
    const remembered = known(memory, element) || { __proto__: null };
    remembered[attribute] = { text, address };
    note(memory, element, remembered);
    anythingHeld = true;
    // What the proxy held keeps its number.
    if (getAttribute(element, MARK) === null) setAttribute(element, MARK, "");
    report(kind, placeOf(address));
    if (name === "link") failLater(element);
    if (kind === "frame") dressLater(element);
  };

  const letGo = (element, attribute) => {
    const remembered = known(memory, element);
    if (!remembered || !remembered[attribute]) return;
    if (remembered.placeholder) removeAttribute(element, "srcdoc");
    forget(memory, element);
    if (getAttribute(element, MARK) === "") removeAttribute(element, MARK);
  };

  // Several addresses, each with what follows it: srcset, and ping without descriptors.
  const someOf = (text, kind, base, separator) => {
    const pattern = separator ? /[\s,]*(\S+)/y : /\s*(\S+)/y;
    const descriptor = /[^,]*/y;
    let kept = "";
    let lost = false;
    let match;
    pattern.lastIndex = 0;
    while ((match = exec(pattern, text))) {
      let address = match[1];
      let rest = "";
      let end = pattern.lastIndex;
      if (separator && endsWith(address, ",")) {
        address = exec(/^(.*?),*$/, address)[1];
      } else if (separator) {
        descriptor.lastIndex = end;
        rest = exec(descriptor, text)[0];
        end = descriptor.lastIndex;
      }
      if (held(address, kind, base)) lost = true;
      else kept += (kept && separator + " ") + address + rest;
      pattern.lastIndex = end;
    }
    return lost ? kept : undefined;
  };

  // What takes the place of an attribute's value, or nothing when it stays.
  const judged = (element, name, attribute, text, base) => {
    const kinds = LOADS[attribute];
    let kind = kinds[name] || kinds["*"];
    if (typeof kind === "function") kind = kind(element);
    if (!kind) return;
    if (attribute === "style") return cleanStyle(text, base);
    if (attribute === "srcdoc") return cleanMarkup(text, base);
    if (attribute === "ping") return someOf(text, kind, base, "");
    if (attribute === "srcset" || attribute === "imagesrcset") return someOf(text, kind, base, ",");
    const address = denied(text, kind, base);
    if (!address) {
      if (anythingHeld) letGo(element, attribute);
      return;
    }
    hold(element, name, attribute, text, address, kind);
    return "";
  };

  // An attribute is about to be set; `values[at]` is what to.
  const attributeComes = (element, attribute, values, at) => {
    if (attribute !== "rel" && attribute !== "as" && !LOADS[attribute]) return;
    const name = localName(element);
    const value = values[at];
    const text = `${value}`;
    if (!LOADS[attribute]) {
      // A link that becomes one that loads.
      const link = name === "link" && getAttribute(element, "href");
      const kind = link && linkKind(element, attribute === "rel" ? text : undefined, attribute === "as" ? text : undefined);
      const address = kind && denied(link, kind, baseURI(element));
      if (address) {
        hold(element, name, "href", link, address, kind);
        setAttribute(element, "href", "");
      }
      return;
    }
    const put = judged(element, name, attribute, text, baseURI(element));
    if (put === undefined) return;
    if (isTrusted(value)) {
      if (put) {
        values[at] = trusted(put);
        return;
      }
      // A plain text may be refused where a trusted one is demanded: leave it unset.
      failLater(element);
      return nothing;
    }
    values[at] = put;
    return;
  };

  // An element that got its attributes where no hook was: in a document that loads nothing.
  const judgeElement = (element) => {
    const name = localName(element);
    each(ATTRIBUTES, (attribute) => {
      const text = getAttribute(element, attribute);
      if (!text) return;
      const put = judged(element, name, attribute, text, baseURI(document));
      if (put !== undefined) setAttribute(element, attribute, put);
    });
    if (name === "style" || name === "script") {
      const put = cleanText(element, textContent(element));
      if (put !== undefined) setTextContent(element, put);
    }
  };

  const judgeAll = (root) => {
    const type = nodeType(root);
    if (type === 1) judgeElement(root);
    if (type === 1 || type === 11) each((type === 1 ? inElement : inFragment)(root, LOADERS), judgeElement);
  };

  // ---- Placeholders ----

  const ENTITIES = { __proto__: null, "&": "&amp;", '"': "&quot;", "<": "&lt;" };
  const escaped = (text) => changed(/[&"<]/g, text, (match) => ENTITIES[match[0]]) || text;
  const PLACEHOLDER =
    "<style>html{font:16px/1.5 system-ui,sans-serif;color:#1d2b2a;background:#eef2f1}" +
    "body{margin:0;min-height:100vh;display:grid;place-content:center;text-align:center;padding:.5em}" +
    "a{color:#0b4f4a}p{margin:.2em}</style><p>Content from another company is not loaded: it needs your " +
    "agreement.</p>" + (config.choices
      ? '<p><a target="_top" href="' + escaped(config.choices) + '">Privacy choices</a></p>'
      : "");

  // Only a frame somebody would look at gets words; those of trackers have no size.
  const dress = (frame) => {
    if (!isConnected(frame) || getAttribute(frame, "src") || getAttribute(frame, "srcdoc") !== null) return;
    const { width, height } = rectangle(frame);
    if (width < 30 || height < 30) return;
    const remembered = known(memory, frame);
    if (remembered) remembered.placeholder = true;
    setAttribute(frame, "srcdoc", trusted(PLACEHOLDER));
  };
  const dressAll = () => each(inDocument(document, "iframe[" + MARK + '=""]'), dress);
  const dressLater = (frame) => {
    each([0, 1000], (ms) => later(frame ? () => dress(frame) : dressAll, ms));
  };

  // ---- Styles ----

  const STYLE_LOADS = /url\(|@import|image-set|src\(|\\/i;
  const STYLE_PARTS = /\/\*[^]*?(?:\*\/|$)|@import|@font-face|[;{}]|(?:image-set|\bsrc)\(|url\(\s*(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|((?:[^\\)"'\s]|\\[^])*))|"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'/gi;
  const STYLE_ESCAPE = /\\(?:([0-9a-f]{1,6})\s?|([^\n]))/gi;
  const character = String.fromCharCode;
  const unescaped = (text) => changed(STYLE_ESCAPE, text, (match) =>
    match[1] ? character(+("0x" + match[1])) : match[2]);

  // What takes the place of a style sheet, a declaration or a value; nothing when it stays.
  const cleanStyle = (text, base, only) => {
    if (!test(STYLE_LOADS, text)) return;
    let rule = only || "";
    let listing = false;
    const put = changed(STYLE_PARTS, text, (match) => {
      const word = lower(match[0]);
      if (word === "@import") rule = "style";
      else if (word === "@font-face") rule = "font";
      else if (word === ";" || word === "}" || word === "{") {
        listing = false;
        if (word === "}" || word === ";" && rule === "style") rule = only || "";
      } else if (endsWith(word, "set(") || word === "src(") listing = true;
      const isAddress = startsWith(word, "url(");
      const quoted = match[4] === undefined ? match[5] : match[4];
      const address = isAddress ? match[1] || match[2] || match[3] : rule === "style" || listing ? quoted : "";
      if (!address || !held(unescaped(address) || address, rule || "img", base)) return;
      return isAddress ? 'url("data:,"' : '"data:,"';
    });
    // Names may be written with escapes, too: then the text is judged as it reads.
    if (put !== undefined || only === undefined && indexOf(text, "\\") < 0) return put;
    const plain = unescaped(text);
    return plain === undefined || indexOf(plain, "\\") >= 0 ? undefined : cleanStyle(plain, base, only);
  };

  // ---- Text that a style sheet or a script reads ----

  const cleanRules = (text, base, isMap) => {
    let lost = false;
    const walk = (value) => {
      if (typeof value === "string") {
        if (!test(/^(?:https?:)?\/\//i, value) || !held(value, isMap ? "script" : "any", base)) return value;
        lost = true;
        return isMap ? "data:text/javascript," : undefined;
      }
      if (!value || typeof value !== "object") return value;
      const isList = isArray(value);
      const copy = isList ? [] : {};
      each(keys(value), (key) => {
        const inner = walk(value[key]);
        if (inner !== undefined) copy[isList ? copy.length : key] = inner;
      });
      return copy;
    };
    const rules = walk(parse(text));
    return lost ? stringify(rules) : undefined;
  };

  const cleanText = (element, text) => {
    const name = localName(element);
    if (name === "style") return cleanStyle(text, baseURI(document));
    const type = name === "script" && lower(getAttribute(element, "type") || "");
    if (type !== "speculationrules" && type !== "importmap") return;
    return cleanRules(text, baseURI(document), type === "importmap");
  };

  // ---- Markup ----

  // Trusted Types: what the page calls trusted stays so; a plain text would be refused.
  const tagged = method(Object, "toString");
  const isTrusted = (value) => typeof value === "object" && test(/^\[object Trusted/, tagged(value));
  const { trustedTypes } = window;
  let trust;
  const trusted = (html) => {
    if (trust === undefined && trustedTypes) {
      trust = null;
      try {
        trust = trustedTypes.createPolicy("consentry", { createHTML: (text) => text });
      } catch (_) {}
    }
    return trust ? trust.createHTML(html) : html;
  };

  // Where the page's own policy lets nobody but itself read markup, it is not read: every attempt
  // would be one more complaint on the console.
  const inert = document.implementation.createHTMLDocument("").createElement("div");
  let unreadable;
  const parsed = (html) => {
    if (unreadable) throw unreadable;
    try {
      setInnerHTML(inert, trusted(html));
    } catch (error) {
      throw unreadable = error;
    }
    return firstChild(inert);
  };

  const MAYBE_FOREIGN = /[\\/&]\s*[\\/&]|:|&|\\/;
  const MAYBE_LOADS = /(?:src|href|data|poster|ping|background|style|srcset|srcdoc)\s*=/i;
  // Elements whose content is text to the parser, and where it ends.
  const RAW = kinds({});
  for (const name of "script style textarea title xmp iframe noscript noembed noframes plaintext".split(" ")) {
    RAW[name] = new RegExp("</" + name + "|$", "gi");
  }

  // Where a start tag ends whose name ends at `from`; -1 when it does not.
  const tagEnd = (text, from) => {
    const plain = /[^>=]*/y;
    const value = /=\s*(?:"[^"]*"|'[^']*'|(?!["'])[^\s>]*)/y;
    for (;;) {
      plain.lastIndex = from;
      exec(plain, text);
      if (plain.lastIndex >= text.length) return -1;
      if (text[plain.lastIndex] === ">") return plain.lastIndex;
      value.lastIndex = plain.lastIndex;
      if (!exec(value, text)) return -1;
      from = value.lastIndex;
    }
  };

  // The attributes of one start tag, judged; nothing when they stay. They are read by the
  // browser itself, on an element that means nothing.
  const cleanTag = (name, attributes, base) => {
    if (!test(MAYBE_LOADS, attributes) || startsWith(base, HOME) && !test(MAYBE_FOREIGN, attributes)) return;
    if (name === "a" && !test(/(?:ping|style)\s*=/i, attributes)) return;
    const element = parsed("<i " + attributes + ">");
    let lost = false;
    each(ATTRIBUTES, (attribute) => {
      const text = getAttribute(element, attribute);
      const put = text ? judged(element, name === "feimage" ? "feImage" : name, attribute, text, base) : undefined;
      if (put === undefined) return;
      setAttribute(element, attribute, put);
      lost = true;
    });
    if (!lost) return;
    if (name === "iframe") dressLater();
    const closed = test(/["'\s]\/\s*$/, attributes) ? " /" : "";
    return slice(outerHTML(element), 2, -5) + closed;
  };

  // What takes the place of a piece of markup; nothing when it stays. Only the tags that load
  // something denied change. A page that writes piece by piece may end in the middle of a tag:
  // with `pieces`, that beginning is kept there until the rest comes.
  const cleanMarkup = (text, base, pieces) => {
    if (!pieces && !test(MAYBE_LOADS, text) && !test(/<style|<script/i, text)) return;
    const open = /<(?:!--[^]*?(?:-->|$)|([a-z][^\s/>]*))/gi;
    let out = "";
    let from = 0;
    let match;
    while ((match = exec(open, text))) {
      if (!match[1]) continue;
      const name = lower(match[1]);
      const start = open.lastIndex;
      let end = tagEnd(text, start);
      if (end < 0) {
        if (pieces) pieces.rest = slice(text, match.index);
        break;
      }
      const attributes = slice(text, start, end);
      const put = cleanTag(name, attributes, base);
      if (put !== undefined) {
        out += slice(text, from, start) + put;
        from = end;
      }
      if (RAW[name]) {
        const close = RAW[name];
        close.lastIndex = end;
        const content = slice(text, end + 1, exec(close, text).index);
        const rules = name === "script" && exec(/speculationrules|importmap/i, attributes);
        const inner = name === "style" ? cleanStyle(content, base)
          : rules ? cleanRules(content, base, lower(rules[0]) === "importmap") : undefined;
        if (inner !== undefined) {
          out += slice(text, from, end + 1) + inner;
          from = end + 1 + content.length;
        }
        end += content.length;
      }
      open.lastIndex = end + 1;
    }
    const rest = pieces && pieces.rest ? pieces.rest.length : 0;
    return from || rest ? out + slice(text, from, text.length - rest) : undefined;
  };

  // Markup is about to become the content of `element`, or to stand beside it.
  const markupComes = (element, values, at) => {
    const text = `${values[at]}`;
    if (indexOf(text, "<") < 0) return;
    const type = nodeType(element);
    const page = type === 9 ? element : ownerDocument(element);
    // Nothing loads in a document without a window, nor in a template; what leaves it is judged.
    if (!defaultView(page)) return;
    if (type === 1) {
      const name = localName(element);
      if (name === "template" || RAW[name]) return;
    }
    const put = cleanMarkup(text, baseURI(page));
    if (put !== undefined) values[at] = isTrusted(values[at]) ? trusted(put) : put;
  };

  const textComes = (node, values, at) => {
    const text = values[at];
    if (typeof text !== "string" || indexOf(text, "/") < 0 && indexOf(text, "\\") < 0) return;
    const type = nodeType(node);
    if (type === 2) {
      const owner = attributeOwner(node);
      if (owner) attributeComes(owner, attributeName(node), values, at);
      return;
    }
    const element = type === 3 ? parentNode(node) : node;
    if (!element || nodeType(element) !== 1) return;
    const put = cleanText(element, text);
    if (put !== undefined) values[at] = put;
  };

  // Nodes are about to be put into `parent`.
  const nodeComes = (parent, values, at) => {
    const node = values[at];
    if (typeof node !== "object") {
      if (parent) textComes(parent, values, at);
      return;
    }
    const type = nodeType(node);
    if (type === 3) {
      if (!parent || nodeType(parent) !== 1) return;
      const name = localName(parent);
      if (name !== "style" && name !== "script") return;
      const put = cleanText(parent, textContent(node));
      if (put !== undefined) setTextContent(node, put);
    } else if (type === 1 || type === 11) {
      // Within one document every attribute came by one of our hooks, except a link's relation
      // (`relList`) and a script's text.
      if (!parent || ownerDocument(node) !== (ownerDocument(parent) || parent)) judgeAll(node);
      else if (type === 1) {
        const name = localName(node);
        if (name === "script" || name === "link" || name === "style") judgeElement(node);
      }
    }
  };

  // ---- Names that are not to be kept on the visitor's device ----

  const isDenied = (what, name) => kept[what] && kept[what](`${name}`);

  // Dropped unless it deletes: that a name goes is in everybody's interest.
  const dropsCookie = (text) => {
    const name = exec(/^\s*([^=;]*?)\s*=/, text);
    if (!name || !isDenied("cookie", name[1])) return false;
    const age = exec(/;\s*max-age\s*=\s*(-?\d+)/i, text);
    const expires = exec(/;\s*expires\s*=\s*([^;]*)/i, text);
    if (age ? age[1] <= 0 : expires && instant(expires[1]) < now()) return false;
    report("cookie", name[1]);
    return true;
  };

  // ---- Hooks ----

  // Every function of ours shows the text of the one it stands for.
  const originals = new WeakMap();

  // `before` may change the arguments in place, or answer instead of the browser by returning
  // `{value}`; `after` may replace the result in the same way.
  const hook = (owner, key, which, before, after) => {
    const descriptor = owner && getOwnPropertyDescriptor(owner, key);
    const native = descriptor && descriptor[which];
    if (typeof native !== "function" || !descriptor.configurable) return;
    // A method of an object is like the browser's own: it is no constructor.
    const { stand } = {
      stand(...values) {
        let answer;
        try {
          answer = before && before(this, values, native);
        } catch (_) {}
        if (answer) return answer.value;
        const result = apply(native, this, values);
        try {
          answer = after && after(this, values, result);
        } catch (_) {}
        return answer ? answer.value : result;
      },
    };
    each(["name", "length"], (trait) => defineProperty(stand, trait, getOwnPropertyDescriptor(native, trait)));
    note(originals, stand, native);
    descriptor[which] = stand;
    defineProperty(owner, key, descriptor);
  };

  const hookNew = (realm, key, before) => {
    const native = realm[key];
    if (typeof native !== "function") return;
    const stand = new NativeProxy(native, {
      __proto__: null,
      construct(target, values, wanted) {
        let answer;
        try {
          answer = before(values, wanted);
        } catch (_) {}
        return answer || construct(target, values, wanted);
      },
    });
    note(originals, stand, native);
    const put = (owner, name) => {
      const descriptor = getOwnPropertyDescriptor(owner, name);
      descriptor.value = stand;
      defineProperty(owner, name, descriptor);
    };
    put(realm, key);
    put(native.prototype, "constructor");
  };

  // ---- Realms: this window, and those of the frames in it ----

  const REALM = Symbol.for("consentry");
  const visited = new WeakMap();
  const ownerOf = new WeakMap();
  const stands = new WeakMap();
  const reals = new WeakMap();
  const calls = new WeakMap();

  // A frame without an address of its own has a window of its own, with everything unhooked.
  const guardFrames = (realm, count) => {
    for (let i = 0; i < count; i++) {
      const frame = realm[i];
      if (known(visited, frame)) continue;
      note(visited, frame, true);
      guard(frame);
    }
  };
  const guardDocument = (page) => page && guard(defaultView(page));

  const guard = (realm) => {
    try {
      // Another origin's window throws here. One that is guarded keeps its guard.
      if (!realm || realm[REALM] || !realm.document) return;
      defineProperty(realm, REALM, { __proto__: null, value: true });
      install(realm);
    } catch (_) {}
  };

  const install = (realm) => {
    const page = realm.document;
    const base = () => baseURI(realm.document);
    const { Response: NativeResponse, ProgressEvent, EventTarget: NativeEventTarget, Audio: NativeAudio, MessageChannel: Channel } = realm;
    const of = (type) => realm[type] && realm[type].prototype;
    const hookAll = (types, keys, which, before, after) => {
      each(split(types, " "), (type) => each(split(keys, " "), (key) => hook(of(type), key, which, before, after)));
    };
    // A page may have a global of this name of its own.
    const frameCount = getOwnPropertyDescriptor(realm, "length").get;
    const afterwards = () => {
      const count = apply(frameCount, realm, []);
      if (count) guardFrames(realm, count);
    };

    hookAll("Function", "toString", "value", (stand, values, native) => {
      const original = known(originals, stand);
      return original && { value: nativeText(original) };
    });

    // Attributes.
    const reflecting = kinds({
      HTMLScriptElement: "src", HTMLImageElement: "src srcset", HTMLIFrameElement: "src srcdoc",
      HTMLFrameElement: "src", HTMLLinkElement: "href rel as imageSrcset", HTMLEmbedElement: "src",
      HTMLObjectElement: "data", HTMLMediaElement: "src", HTMLVideoElement: "poster",
      HTMLSourceElement: "src srcset", HTMLTrackElement: "src", HTMLInputElement: "src",
      HTMLAnchorElement: "ping", HTMLAreaElement: "ping", HTMLBodyElement: "background",
    });
    each(keys(reflecting), (type) => each(split(reflecting[type], " "), (key) => {
      const attribute = lower(key);
      hook(of(type), key, "set", (element, values) => attributeComes(element, attribute, values, 0));
      hook(of(type), key, "get", null, (element) => {
        if (!anythingHeld || getAttribute(element, attribute) !== "") return;
        const was = known(memory, element);
        if (was && was[attribute]) return { value: was[attribute].address };
        // One that came in markup or was copied. Browsers would say that an empty address is the
        // page's own, and whoever fetches that gets the page.
        return getAttribute(element, MARK) === "" ? { value: "" } : undefined;
      });
    }));
    hookAll("Element", "getAttribute", "value", null, (element, values, value) => {
      const was = value === "" && known(memory, element);
      const wrote = was && was[lower(`${values[0]}`)];
      return wrote && { value: wrote.text };
    });
    hookAll("Element", "setAttribute", "value", (element, values) =>
      values.length > 1 ? attributeComes(element, lower(`${values[0]}`), values, 1) : undefined);
    hookAll("Element", "setAttributeNS", "value", (element, values) =>
      values.length > 2 ? attributeComes(element, exec(/[^:]*$/, values[1])[0], values, 2) : undefined);
    const nodeOfAttribute = (element, attribute) => {
      const values = [attributeValue(attribute)];
      attributeComes(element, attributeName(attribute), values, 0);
      if (values[0] !== attributeValue(attribute)) setAttributeValue(attribute, values[0]);
    };
    hookAll("Element", "setAttributeNode setAttributeNodeNS", "value", (element, values) => nodeOfAttribute(element, values[0]));
    // A list of attributes does not tell whose it is.
    hookAll("Element", "attributes", "get", null, (element, _, list) => void note(ownerOf, list, element));
    hookAll("NamedNodeMap", "setNamedItem setNamedItemNS", "value", (list, values) =>
      nodeOfAttribute(known(ownerOf, list), values[0]));
    hookAll("Attr", "value", "set", (attribute, values) => textComes(attribute, values, 0));
    hookAll("SVGImageElement SVGUseElement SVGFEImageElement SVGScriptElement", "href", "get", null,
      (element, _, animated) => void note(ownerOf, animated, element));
    hookAll("SVGAnimatedString", "baseVal", "set", (animated, values) => {
      const element = known(ownerOf, animated);
      return element && attributeComes(element, "href", values, 0);
    });

    // Markup and text.
    hookAll("Element ShadowRoot", "innerHTML", "set", (element, values) => {
      textComes(element, values, 0);
      markupComes(element, values, 0);
    }, afterwards);
    hookAll("Element", "outerHTML", "set", (element, values) => markupComes(parentNode(element), values, 0), afterwards);
    hookAll("Element ShadowRoot", "setHTMLUnsafe setHTML", "value", (element, values) => markupComes(element, values, 0), afterwards);
    hookAll("Element", "insertAdjacentHTML", "value", (element, values) => markupComes(element, values, 1), afterwards);
    hookAll("Range", "createContextualFragment", "value", (range, values) => {
      const node = rangeParent(range);
      markupComes(nodeType(node) === 3 ? parentNode(node) : node, values, 0);
    });
    hookAll("Node", "textContent nodeValue", "set", (node, values) => textComes(node, values, 0));
    hookAll("HTMLElement HTMLScriptElement CharacterData", "innerText text data", "set", (node, values) => textComes(node, values, 0));
    hookAll("CharacterData", "appendData", "value", (node, values) => textComes(node, values, 0));
    hookAll("Element", "insertAdjacentText", "value", (node, values) => textComes(node, values, 1));

    let unfinished = "";
    let writer;
    each(["write", "writeln"], (key) => hookAll("Document", key, "value", (doc, values) => {
      const running = currentScript(doc);
      const begun = running === writer ? unfinished : "";
      let text = begun;
      each(values, (value) => (text += value));
      const pieces = { rest: "" };
      const put = cleanMarkup(key === "writeln" ? text + "\n" : text, baseURI(doc), pieces);
      unfinished = pieces.rest;
      writer = running;
      if (put === undefined && !begun) return;
      const out = put === undefined ? text : put;
      write(doc, isTrusted(values[0]) ? trusted(out) : out);
      afterwards();
      return nothing;
    }, afterwards));

    // Nodes.
    const inserts = (types, keys, parent, at, one) => hookAll(types, keys, "value", (node, values) => {
      for (let i = at; i < (one ? at + 1 : values.length); i++) nodeComes(parent(node), values, i);
    }, afterwards);
    const itself = (node) => node;
    inserts("Node", "appendChild insertBefore replaceChild", itself, 0, true);
    inserts("Element Document DocumentFragment", "append prepend replaceChildren", itself, 0);
    inserts("Element CharacterData DocumentType", "before after replaceWith", parentNode, 0);
    inserts("Element", "insertAdjacentElement", itself, 1);
    inserts("Range", "insertNode surroundContents", rangeParent, 0);
    // A picture begins to load when its document changes, but not before this returns.
    hookAll("Document", "importNode", "value", null, (doc, _, node) => judgeAll(node));
    hookAll("Document", "adoptNode", "value", (_, values) => judgeAll(values[0]));

    // Styles.
    const styleValues = (from) => (_, values) => {
      for (let i = from; i < values.length; i++) {
        const put = typeof values[i] === "string" ? cleanStyle(values[i], base()) : undefined;
        if (put !== undefined) values[i] = put;
      }
    };
    hookAll("CSSStyleSheet CSSGroupingRule CSSKeyframesRule", "insertRule addRule replace replaceSync appendRule", "value", styleValues(0));
    hookAll("StylePropertyMap", "set append", "value", styleValues(1));
    hookAll("HTMLElement SVGElement MathMLElement CSSStyleRule", "style", "set", styleValues(0));
    // Chromium answers `style.backgroundImage = ...` inside the object, where no prototype can
    // stand in front. So what `style` gives is a thin stand-in that looks at values with "(";
    // methods and accessors called on it reach the real object.
    const onStyle = {
      __proto__: null,
      get: (real, key) => real[key],
      set(real, key, value) {
        let put;
        try {
          if (typeof value === "string" && indexOf(value, "(") >= 0) put = cleanStyle(value, base());
        } catch (_) {}
        real[key] = put === undefined ? value : put;
        return true;
      },
    };
    hookAll("HTMLElement SVGElement MathMLElement CSSStyleRule CSSFontFaceRule CSSKeyframeRule CSSPageRule", "style", "get", null, (_, __, real) => {
      let stand = known(stands, real);
      if (!stand) {
        stand = new NativeProxy(real, onStyle);
        note(stands, real, stand);
        note(reals, stand, real);
      }
      return { value: stand };
    });
    const onReal = (change) => (style, values, native) => {
      if (change) change(style, values);
      const real = known(reals, style);
      return real && { value: apply(native, real, values) };
    };
    hookAll("CSSStyleDeclaration", "getPropertyValue getPropertyPriority removeProperty item", "value", onReal());
    hookAll("CSSStyleDeclaration", "setProperty", "value", onReal(styleValues(1)));
    hookAll("CSSStyleDeclaration", "cssText cssFloat", "set", onReal(styleValues(0)));
    hookAll("CSSStyleDeclaration", "cssText cssFloat length parentRule", "get", onReal());
    hookNew(realm, "FontFace", (values) => {
      const put = typeof values[1] === "string" ? cleanStyle(values[1], base(), "font") : undefined;
      if (put !== undefined) values[1] = put;
    });

    // Requests that no element makes.
    //
    // A held `fetch` succeeds with nothing in it. To reject would be the other honest answer, but
    // code that sends a beacon rarely catches, and an uncaught rejection is an error the site did
    // not have. For the same reason its `json()` gives an empty object: nothing is no JSON.
    const empty = () => {
      const response = construct(NativeResponse, ["", { status: 200 }]);
      defineProperty(response, "json", { __proto__: null, value: () => resolved({}), configurable: true, writable: true });
      return response;
    };
    const inputAddress = (input) => {
      if (typeof input === "object") {
        try {
          return requestAddress(input);
        } catch (_) {}
      }
      return input;
    };
    hook(realm, "fetch", "value", (_, values) =>
      held(inputAddress(values[0]), "connect", base()) ? { value: resolved(empty()) } : undefined);
    hook(realm, "fetchLater", "value", (_, values) =>
      held(inputAddress(values[0]), "connect", base()) ? { value: { activated: false } } : undefined);
    hookAll("Navigator", "sendBeacon", "value", (_, values) =>
      held(values[0], "connect", base()) ? { value: true } : undefined);
    hookAll("ServiceWorkerContainer", "register", "value", (_, values) =>
      held(values[0], "worker", base()) || isDenied("worker", values[0]) ? { value: never() } : undefined);
    hookAll("Worklet", "addModule", "value", (_, values) =>
      held(values[0], "script", base()) ? { value: resolved() } : undefined);

    // A held XMLHttpRequest is opened on this page and never sent. It ends like one that was
    // answered with "204 No Content": what looks for content finds none, and nothing failed.
    const answer = (request) => {
      const call = known(calls, request);
      if (!call || call.gone) return;
      const isText = test(/^(?:text)?$/, responseType(request));
      const result = { readyState: 4, status: 204, statusText: "No Content", responseText: "", responseURL: call.address, response: isText ? "" : null };
      each(keys(result), (key) => defineProperty(request, key, { __proto__: null, value: result[key], configurable: true }));
      call.answered = keys(result);
      dispatch(request, new NativeEvent("readystatechange"));
      each(["load", "loadend"], (type) => dispatch(request, construct(ProgressEvent, [type])));
    };
    hookAll("XMLHttpRequest", "open", "value", (request, values) => {
      const before = known(calls, request);
      if (before) {
        before.gone = true;
        each(before.answered || [], (key) => delete request[key]);
        forget(calls, request);
      }
      const address = held(values[1], "connect", base());
      if (!address) return;
      values[1] = HOME;
      note(calls, request, { address, waits: values.length < 3 || !!values[2] });
    });
    hookAll("XMLHttpRequest", "send", "value", (request) => {
      const call = known(calls, request);
      if (!call) return;
      if (call.waits) later(() => answer(request));
      else answer(request);
      return nothing;
    });
    hookAll("XMLHttpRequest", "abort", "value", (request) => {
      const call = known(calls, request);
      if (call) call.gone = true;
    });

    // Connections and workers: an object of the right kind that never opens. One that failed
    // would make patient clients try again for ever.
    const standsFor = (object, type, has) => {
      each(keys(has), (name) => defineProperty(object, name, { __proto__: null, value: has[name], writable: true, configurable: true, enumerable: true }));
      return setPrototypeOf(object, type.prototype);
    };
    const silent = (key, kind, fields) => hookNew(realm, key, (values, wanted) => {
      const address = held(values[0], kind, base());
      if (!address) return;
      const object = new NativeEventTarget();
      return standsFor(object, wanted, fields(object, address));
    });
    const ignore = () => {};
    const ends = (object, state) => () => {
      object.readyState = state;
    };
    silent("WebSocket", "connect", (object, url) => ({
      url, readyState: 0, bufferedAmount: 0, extensions: "", protocol: "", binaryType: "blob",
      onopen: null, onmessage: null, onerror: null, onclose: null, send: ignore, close: ends(object, 3),
    }));
    silent("EventSource", "connect", (object, url) => ({
      url, readyState: 0, withCredentials: false, onopen: null, onmessage: null, onerror: null, close: ends(object, 2),
    }));
    silent("Worker", "worker", () => ({
      onmessage: null, onmessageerror: null, onerror: null, postMessage: ignore, terminate: ignore,
    }));
    silent("SharedWorker", "worker", () => ({ onerror: null, port: new Channel().port1 }));
    silent("WebTransport", "connect", () => ({
      ready: never(), closed: never(), close: ignore,
      createBidirectionalStream: never, createUnidirectionalStream: never,
    }));
    hookNew(realm, "Audio", (values, wanted) => {
      const address = values.length && denied(`${values[0]}`, "media", base());
      if (!address) return;
      const audio = construct(NativeAudio, [], wanted);
      setAttribute(audio, "preload", "auto");
      hold(audio, "audio", "src", `${values[0]}`, address, "media");
      setAttribute(audio, "src", "");
      return audio;
    });

    // A form that is sent into a frame is a load of that frame; anything else it does is going
    // somewhere, which is the visitor's own step.
    const formGoes = (form, submitter) => {
      const said = (key) => submitter && getAttribute(submitter, "form" + key) || getAttribute(form, key) || "";
      const target = said("target");
      let frame = realm !== realm.parent && (!target || target === "_self");
      let receiver;
      each(inDocument(ownerDocument(form), "iframe,frame"), (one) => {
        if (target && getAttribute(one, "name") === target) frame = receiver = one;
      });
      if (!frame || !held(said("action"), "frame", base())) return false;
      // Whoever waits for the frame to be done goes on.
      if (receiver) later(() => dispatch(receiver, new NativeEvent("load")));
      return true;
    };
    hookAll("HTMLFormElement", "submit requestSubmit", "value", (form, values) =>
      formGoes(form, values[0]) ? nothing : undefined);
    listen(realm, "submit", (event) => {
      try {
        if (formGoes(event.target, event.submitter)) event.preventDefault();
      } catch (_) {}
    }, true);

    // What is kept on the device.
    hookAll("Document", "cookie", "set", (_, values) => (dropsCookie(`${values[0]}`) ? nothing : undefined));
    hookAll("CookieStore", "set", "value", (_, values) => {
      const { name, expires } = typeof values[0] === "object" ? values[0] : { name: values[0] };
      if (!isDenied("cookie", name) || expires && expires < now()) return;
      report("cookie", `${name}`);
      return { value: resolved() };
    });
    hookAll("Storage", "setItem", "value", (_, values) => {
      const name = `${values[0]}`;
      if (!isDenied("key", name)) return;
      report("storage", name);
      return nothing;
    });
    // Nothing opens, nothing fails, and nobody tries again.
    hookAll("IDBFactory", "open", "value", (_, values) =>
      isDenied("database", values[0]) ? { value: standsFor(new NativeEventTarget(), realm.IDBOpenDBRequest, {
        readyState: "pending", result: undefined, error: null, source: null, transaction: null,
        onsuccess: null, onerror: null, onupgradeneeded: null, onblocked: null,
      }) } : undefined);
    hookAll("CacheStorage", "open", "value", (_, values) =>
      isDenied("cache", values[0]) ? { value: never() } : undefined);

    // Windows within reach.
    hookAll("HTMLIFrameElement HTMLFrameElement HTMLObjectElement", "contentWindow contentDocument", "get",
      (element) => guardDocument(frameDocument(element)));
    hookAll("HTMLObjectElement", "contentWindow contentDocument", "get", null, (_, __, found) =>
      found && guard(found.defaultView || found));
    hook(realm, "open", "value", null, (_, __, opened) => guard(opened));
    listen(page, "load", (event) => {
      const name = nodeType(event.target) === 1 && localName(event.target);
      if (name === "iframe" || name === "frame") guardDocument(frameDocument(event.target));
    }, true);
    listen(page, "DOMContentLoaded", afterwards);
    afterwards();
  };

  guard(window);
  listen(window, "pagehide", send);
})();

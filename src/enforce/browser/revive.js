// Brings a page up to date after a choice, without loading it again.
//
// `revive(before)` asks for the page once more, as it is for the visitor now.
// `before` is the consent class that the live page was made for, so that the
// proxy can mark in the fresh page what was held in the live one and is granted
// now: `data-consentry-revive` there has the number of `data-consentry-held` here.
// Each such node is then replaced in document order.
//
// What cannot be done faithfully is not done by halves: the page is loaded again.
// That is so when a node is gone or has another number, when something was
// withdrawn, when a policy in force refuses an address (a policy cannot be loosened
// in a live page, so pages with a policy of ours do not even ask), when a vendor's file cannot be had, and when a stand-in
// has already run code that the real vendor would have to see.
//
// `DOMContentLoaded` and `load` are not fired again: the site's own code has
// listeners there, which must not run twice. Vendors that may come late look at
// `document.readyState`.
async function revive(before) {
  "use strict";

  const MARK = "data-consentry-revive";
  const HELD = "data-consentry-held";
  const PATIENCE_MS = 10000;
  let spoilt = false;

  const isScript = (node) => node.localName === "script";
  const address = (node) => node.getAttribute("src") || node.getAttribute("href") || node.getAttribute("xlink:href");
  const isModule = (node) => (node.getAttribute("type") || "").trim().toLowerCase() === "module";
  const isIgnored = (node) => node.hasAttribute("nomodule") && "noModule" in HTMLScriptElement.prototype && !isModule(node);
  const isLate = (node) => !node.hasAttribute("async") && (isModule(node) || (node.hasAttribute("defer") && Boolean(address(node))));
  const settled = (node) => new Promise((resolve) => {
    node.addEventListener("load", () => resolve(true));
    node.addEventListener("error", () => resolve(false));
    setTimeout(resolve, PATIENCE_MS, false);
  });

  // The page as it is now.
  const ask = async () => {
    const answer = await fetch(location.href, {
      headers: { Accept: "text/html", "Consentry-Revive": before },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
    if (!answer.ok || answer.headers.get("Consentry-Revive") !== before) return null;
    // The bytes are in the charset that the browser found for the live page.
    const text = new TextDecoder(document.characterSet).decode(await answer.arrayBuffer());
    return new DOMParser().parseFromString(text, "text/html");
  };

  // [live node, fresh node] of everything that is granted now, or null.
  const pairs = (fresh) => {
    const live = new Map();
    for (const node of document.querySelectorAll(`[${HELD}]`)) {
      const number = node.getAttribute(HELD);
      // What a script made while it was refused has no number, and copies share one.
      if (!number || live.has(number)) return null;
      live.set(number, node);
    }
    // Templates are documents of their own, with nodes that scripts copy from.
    for (const template of fresh.querySelectorAll("template")) {
      if (template.content.querySelector(`[${MARK}]`)) return null;
    }
    const found = [];
    for (const node of fresh.querySelectorAll(`[${MARK}], [${HELD}]`)) {
      // Scripts run here, so the live page has text there.
      if (node.closest("noscript")) continue;
      const granted = node.hasAttribute(MARK);
      const number = node.getAttribute(granted ? MARK : HELD);
      const old = live.get(number);
      if (!old && !granted) continue;
      if (!old || old.localName !== node.localName || old.id !== node.id) return null;
      if (granted) found.push([old, node]);
      live.delete(number);
    }
    // The origin may have answered with another page.
    return live.size ? null : found;
  };

  // Whether every script can be had. What is fetched ahead is what runs
  // afterwards, so it costs no second request.
  const fetchAhead = (scripts) => Promise.all(scripts.map((node) => {
    const link = document.createElement("link");
    link.rel = isModule(node) ? "modulepreload" : "preload";
    if (!isModule(node)) link.setAttribute("as", "script");
    for (const name of ["crossorigin", "integrity", "referrerpolicy"]) {
      if (node.hasAttribute(name)) link.setAttribute(name, node.getAttribute(name));
    }
    const fetched = settled(link);
    link.href = address(node);
    document.head.append(link);
    return fetched.then((done) => { link.remove(); return done; });
  }));

  // A script runs only as a new element, with everything it had.
  const start = (old, node) => {
    const script = document.createElementNS(node.namespaceURI, node.localName);
    for (const attribute of node.attributes) {
      if (attribute.name !== MARK) script.setAttributeNS(attribute.namespaceURI, attribute.name, attribute.value);
    }
    // The policy in force knows the live page's nonce, not the fresh one's.
    if (old.nonce) script.nonce = old.nonce;
    if (!node.hasAttribute("async")) script.async = false;
    script.textContent = node.textContent;
    const waits = address(node) && !node.hasAttribute("async") && !isIgnored(node);
    const done = waits ? settled(script) : undefined;
    old.replaceWith(script);
    return done;
  };

  // Anything else stays the node it is, since the site may know it.
  const restore = (old, node) => {
    for (const { name } of [...old.attributes]) {
      if (!node.hasAttribute(name) || name === "srcdoc") old.removeAttribute(name);
    }
    // The address comes last, when everything that says how to load it is there.
    const isAddress = ({ name }) => /^(src|href|data)$/.test(name);
    const attributes = [...node.attributes].filter(({ name }) => name !== MARK);
    for (const { namespaceURI, name, value } of [...attributes.filter((a) => !isAddress(a)), ...attributes.filter(isAddress)]) {
      if (old.getAttribute(name) !== value) old.setAttributeNS(namespaceURI, name, value);
    }
    if (old.localName === "source" && old.parentNode instanceof HTMLMediaElement) old.parentNode.load();
  };

  // Classic scripts wait for each other, as they do while a page is parsed;
  // those that wait for its end come after them, and the browser keeps their order.
  const run = async (found) => {
    const late = [];
    for (const [old, node] of found) {
      if (!isScript(node)) restore(old, node);
      else if (isLate(node)) late.push([old, node]);
      else await start(old, node);
    }
    await Promise.all(late.map(([old, node]) => start(old, node)));
  };

  const spoil = () => { spoilt = true; };

  const attempt = async () => {
    const fresh = await ask();
    const found = fresh && pairs(fresh);
    if (!found) return false;
    document.addEventListener("securitypolicyviolation", spoil);
    // Now it would wipe the page instead of adding to it.
    for (const name of ["write", "writeln"]) {
      Object.defineProperty(document, name, { value: spoil, configurable: true });
    }
    try {
      const scripts = found.map(([, node]) => node).filter((node) => isScript(node) && address(node) && !isIgnored(node));
      if ((await fetchAhead(scripts)).includes(false) || spoilt) return false;
      const guard = fresh.querySelector("script[data-consentry]");
      // What runs from here on would need a guard that this page lacks.
      if (guard && found.length && !(Symbol.for("consentry") in window)) return false;
      const standIns = fresh.querySelector("script[data-consentry-stubs]");
      const stubs = standIns ? JSON.parse(standIns.getAttribute("data-consentry-stubs")) : [];
      const choice = new CustomEvent("consentry:choice", { cancelable: true, detail: { stubs } });
      if (!document.dispatchEvent(choice)) return false;
      await run(found);
      const link = fresh.getElementById("csy-link");
      if (link) document.body.append(link.previousElementSibling, link);
      // A violation is told a moment after it happens.
      await new Promise((resolve) => { setTimeout(resolve, 50); });
      return !spoilt;
    } finally {
      delete document.write;
      delete document.writeln;
      document.removeEventListener("securitypolicyviolation", spoil);
    }
  };

  if (!(await attempt().catch(() => false))) location.reload();
}

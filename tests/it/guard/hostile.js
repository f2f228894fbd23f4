// Replaces what a page can replace by something that notices when the guard uses it. The guard
// is on top of the stack then, right under the replacement.
var abused = [];
(() => {
  const NativeError = Error;
  const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty } = Reflect;
  const { includes, split } = String.prototype;
  const called = (name) => {
    const lines = apply(split, new NativeError().stack, ["\n"]);
    // The error, this function, the replacement, whoever called it.
    if (lines[3] && apply(includes, lines[3], ["/guard.js"])) abused[abused.length] = name + lines[3];
  };
  const replace = (owner, label) => {
    for (const key of ownKeys(owner)) {
      const descriptor = getOwnPropertyDescriptor(owner, key);
      // An address object of the page's own says what it is in this way, to everybody.
      // The browser itself reads `style` when it is written to.
      if (key === "constructor" || key === "style" || label === "URL.prototype" && key === "toString" || !descriptor.configurable) continue;
      for (const part of ["value", "get", "set"]) {
        const native = descriptor[part];
        if (typeof native !== "function" || native.prototype) continue;
        const name = label + "." + String(key) + " " + part;
        descriptor[part] = { stand(...values) { called(name); return apply(native, this, values); } }.stand;
      }
      defineProperty(owner, key, descriptor);
    }
  };
  const types = ["Array", "String", "RegExp", "Map", "Set", "WeakMap", "WeakSet", "Promise", "URL", "Node", "Element",
    "HTMLElement", "Document", "DocumentFragment", "Attr", "EventTarget", "Request", "Response", "CharacterData", "Range",
    "HTMLImageElement", "HTMLScriptElement", "HTMLIFrameElement", "HTMLLinkElement", "XMLHttpRequest", "Navigator", "Storage"];
  for (const type of types) {
    replace(window[type].prototype, type + ".prototype");
    replace(window[type], type);
  }
  for (const name of ["JSON", "Math", "Reflect", "Object"]) replace(window[name], name);
  for (const name of ["setTimeout", "fetch", "parseInt", "decodeURIComponent", "getComputedStyle"]) {
    const native = window[name];
    window[name] = (...values) => { called(name); return apply(native, window, values); };
  }
  for (const name of ["String", "Number", "Boolean", "URL", "RegExp", "Event", "Error", "Proxy", "Promise", "WeakMap", "Response"]) {
    const native = window[name];
    window[name] = new Proxy(native, {
      apply(target, self, values) { called(name); return apply(target, self, values); },
      construct(target, values, wanted) { called("new " + name); return Reflect.construct(target, values, wanted); },
    });
  }
})();

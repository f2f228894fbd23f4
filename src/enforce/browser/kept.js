// What vendors keep on a device, and that those who are denied keep nothing.
//
// Comes right before the guard, with nothing in between, and hands it over what may not be written:
// by its own element, which the guard takes away. What was kept before a visitor took their
// agreement back is taken off the device here, and again what comes back later.
//
// Whatever is not named stays: a shop's cart, its own workers, its own databases.
(() => {
  "use strict";

  // Names by the letters of their purposes; the proxy fills them in.
  const NAMES = /*NAMES*/{};

  const script = document.currentScript;
  const { deny, vendors } = JSON.parse(script.getAttribute("data-consentry-kept"));

  // As it is before any other script.
  const { apply, getOwnPropertyDescriptor } = Reflect;
  const { exec } = RegExp.prototype;
  const { keys } = Object;
  const { removeItem } = Storage.prototype;
  const { then } = Promise.prototype;
  const NativeURL = URL;
  const { get: pathname } = getOwnPropertyDescriptor(URL.prototype, "pathname");

  // What was decided about single vendors outweighs what holds for their purposes.
  const { keep = {}, drop = {} } = vendors || {};
  const anyOf = (patterns) =>
    "(?:" + patterns.map((pattern) => pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*")).join("|") + ")$";
  const denied = (where) => {
    const names = [];
    for (const letters of keys(NAMES)) {
      if ([...letters].some((letter) => deny.includes(letter))) names.push(...(NAMES[letters][where] || []));
    }
    const sources = [];
    if (names.length) sources.push("^" + (keep[where] ? "(?!" + anyOf(keep[where]) + ")" : "") + anyOf(names));
    if (drop[where]) sources.push("^" + anyOf(drop[where]));
    return sources.length && new RegExp(sources.join("|"));
  };
  const [cookies, storage, databases, caches, workers] = ["c", "s", "d", "k", "w"].map(denied);
  const is = (pattern, name) => pattern && apply(exec, pattern, [name]) !== null;

  // A worker goes by the name of its file, wherever a site has put it.
  const isWorker = (address) => {
    const file = workers && apply(exec, /[^/]*$/, [apply(pathname, new NativeURL(address, location.href), [])]);
    return is(workers, file && file[0]);
  };

  script.consentry = {
    cookie: (name) => is(cookies, name),
    key: (name) => is(storage, name),
    database: (name) => is(databases, name),
    cache: (name) => is(caches, name),
    worker: isWorker,
  };

  // Storage is swept although the guard stands in front of it: `localStorage.key = value` is a
  // write that nothing can stand in front of, since a stand-in for the object would be refused
  // wherever the browser wants the real one.
  const sweepStorage = () => {
    if (!storage) return;
    for (const which of ["localStorage", "sessionStorage"]) {
      try {
        const held = window[which];
        const names = keys(held);
        for (let i = 0; i < names.length; i++) {
          if (is(storage, names[i])) apply(removeItem, held, [names[i]]);
        }
      } catch (_) {}
    }
  };

  // Where a browser has no such thing, or does not let this page have it, there is nothing to find.
  const each = (list, what) => {
    const go = (found) => {
      for (let i = 0; i < found.length; i++) {
        try {
          what(found[i]);
        } catch (_) {}
      }
    };
    try {
      apply(then, list(), [go, () => {}]);
    } catch (_) {}
  };
  const native = (type, key) => window[type] && window[type].prototype[key];
  const listDatabases = native("IDBFactory", "databases");
  const deleteDatabase = native("IDBFactory", "deleteDatabase");
  const listCaches = native("CacheStorage", "keys");
  const deleteCache = native("CacheStorage", "delete");
  const listWorkers = native("ServiceWorkerContainer", "getRegistrations");
  const unregister = native("ServiceWorkerRegistration", "unregister");
  const reach = (get) => {
    try {
      return get();
    } catch (_) {}
  };
  const factory = reach(() => window.indexedDB);
  const store = reach(() => window.caches);
  const container = reach(() => navigator.serviceWorker);

  const sweep = () => {
    sweepStorage();
    if (databases && factory) {
      each(() => apply(listDatabases, factory, []), ({ name }) => is(databases, name) && apply(deleteDatabase, factory, [name]));
    }
    if (caches && store) each(() => apply(listCaches, store, []), (name) => is(caches, name) && apply(deleteCache, store, [name]));
    if (workers && container) {
      each(() => apply(listWorkers, container, []), (registration) => {
        const worker = registration.active || registration.waiting || registration.installing;
        if (worker && isWorker(worker.scriptURL)) apply(unregister, registration, []);
      });
    }
  };

  sweep();
  window.addEventListener("load", sweep);
  window.addEventListener("pagehide", sweepStorage);
})();

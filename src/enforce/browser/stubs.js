// Stand-ins for the globals of withheld vendors, so that the site's own code
// that calls them goes on: nothing is sent, nothing is stored, and whoever
// waits for an answer is called back.
//
// `stubs(names)` runs right behind the guard, before every other script. A
// name that already means something is left alone, and each stand-in can be
// replaced by simply assigning or declaring the real one.
//
// What is called before the visitor chose is kept in memory, at most LIMIT
// calls a name, and is called again on the real one once it is there. A page
// learns of a choice made without a reload by the event `consentry:choice`,
// whose detail names the stand-ins that stay. Anybody can send that event. It
// can do no harm: whatever runs in the page could as well delete the stand-ins,
// and no verdict depends on them.
function stubs(names) {
  "use strict";

  const LIMIT = 100;
  const { setTimeout, document } = window;
  const none = [];
  const noop = () => {};
  const isFunction = (value) => typeof value === "function";

  // Which calls get an answer when their argument is a function, by the path
  // of the method. What only announces a vendor ("YT.ready", "FB.Event") is
  // not answered: it never comes, and its callers would rely on it.
  const ANSWERED = {
    ga: /^$|send$/, gtag: /^$/, ym: /^$/, pintrk: /^$/, twttr: /^ready$/, amplitude: /./, posthog: /^onFeatureFlags$/,
    mixpanel: /^(track|identify|alias|people\.\w+)$/, analytics: /^(ready|identify|track|page|screen|group|alias)$/,
    apstag: /^(init|fetchBids)$/, utag: /^(view|link|track)$/, woopra: /^(track|identify)$/,
    FB: /^(getLoginStatus|login|logout|api|ui|XFBML\.parse)$/,
    googletag: /^cmd\.push$/, pbjs: /^(que|cmd)\.push$/, Criteo: /^events\.push$/,
  };

  // The same for members of an argument that is an object. `event_timeout` and
  // its like need nothing: they say how long to wait at most, and we answer at once.
  const CALLBACKS = ["hitCallback", "event_callback", "eventCallback", "bidsBackHandler"];
  const PLAIN_CALLBACK = /^(plausible|ym|fathom)$/;

  // What is an array of commands in real life, and stays one after consent:
  // the vendor's file finds in it what was pushed before.
  const QUEUE = /^_\w*q$|_q$|queue$|deferred$|datalayer$|^(uetq|_qevents|_hmt|_czc|_tmr|_mtm|_tfa|_taboola|_cio|_pa|adsbygoogle)$/i;
  // Those whose functions are run: site code waits in them for no more than its turn.
  const RUN = /^(_gaq|_paq|_hsq)$|datalayer$/i;
  const NO_QUEUE = /^_fbq$/;

  // Values that site code compares or hands on.
  const VALUES = {
    "ga.loaded": true,
    "YT.PlayerState": { UNSTARTED: -1, ENDED: 0, PLAYING: 1, PAUSED: 2, BUFFERING: 3, CUED: 5 },
    "google.ima.AdErrorEvent.Type.AD_ERROR": "adError",
    "google.ima.AdsManagerLoadedEvent.Type.ADS_MANAGER_LOADED": "adsManagerLoaded",
  };

  // name -> { owner, key, value, list, calls, lost, gone }
  const mine = new Map();
  let waiting = false;

  const later = (callback, ...args) => {
    if (isFunction(callback)) setTimeout(() => callback(...args), 0);
  };

  const define = (owner, key, value) =>
    Object.defineProperty(owner, key, { value, writable: true, configurable: true, enumerable: false });

  const read = (path) => path.split(".").reduce((owner, key) => (owner == null ? undefined : owner[key]), window);

  // What a vendor answers that was never reached.
  const answer = (name) => {
    if (name === "FB") return [{ status: "unknown", authResponse: null }];
    if (name === "apstag") return [[]];
    if (name === "posthog") return [[], {}];
    if (name === "mixpanel" || name === "amplitude") return [0, ""];
    if (name === "gtag" || name === "ym") return [undefined];
    return [standIn(name, "()")];
  };

  // Calls everybody back who waits in these arguments, once: what is kept of
  // them for the real vendor has the callbacks taken out.
  const callBack = (name, args, functions) =>
    args.map((arg) => {
      if (isFunction(arg) && functions) {
        later(arg, ...answer(name));
        return noop;
      }
      if (typeof arg !== "object" || arg === null) return arg;
      const keys = PLAIN_CALLBACK.test(name) ? [...CALLBACKS, "callback"] : CALLBACKS;
      const called = keys.filter((key) => isFunction(arg[key]));
      if (!called.length) return arg;
      const rest = Object.assign({}, arg);
      for (const key of called) {
        later(arg[key], key === "bidsBackHandler" ? {} : "");
        delete rest[key];
      }
      return rest;
    });

  // ---- stand-ins that are called -------------------------------------------

  const called = (name, path, args) => {
    const stub = mine.get(name);
    const answered = ANSWERED[name] && ANSWERED[name].test(path.replace(/\(\)\./g, "."));
    // Wrappers give back what they wrap, or the site's own code would be lost with them.
    if (/^(Sentry|Raven|newrelic|Bugsnag)$/.test(name) && isFunction(args[args.length - 1])) {
      const inner = args[args.length - 1];
      if (/wrap$/i.test(path)) return inner;
      if (/^(startSpan|withScope|context)$/.test(path)) return inner(standIn(name, "()"));
    }
    if (stub.gone) {
      // Somebody kept a reference to the stand-in: the real one gets the call.
      keep(stub, path, args);
      replay(stub);
      return undefined;
    }
    const rest = callBack(name, args, answered);
    const ran = args.some((arg, at) => isFunction(arg) && rest[at] === noop);
    if (ran && /push$/.test(path)) {
      // The site's code has run, against nothing; to run it twice would be
      // wrong, and the real vendor misses what it set up.
      stub.lost = true;
    } else if (!ran || args.length > 1) {
      keep(stub, path, rest);
    }
    if (name === "amplitude" && !/getInstance$/.test(path)) return { promise: Promise.resolve({ code: 0, message: "" }) };
    if (name === "alloy" || /^widgets\./.test(path)) return Promise.resolve({});
    return path === "" && ANSWERED[name] ? undefined : standIn(name, path + "()");
  };

  // A method of something that a call gave back cannot be found again later.
  const keep = (stub, path, args) => {
    if (stub.calls.length < stub.limit && !path.includes("()")) stub.calls.push({ path, args });
  };

  // A thing on which everything can be read, called, constructed and iterated,
  // and that turns into "" or 0. It has no `then`: `await` goes on at once.
  const standIn = (name, path, prototype) => {
    const parts = new Map();
    const inert = function () {};
    if (prototype) Object.setPrototypeOf(inert, prototype);
    return new Proxy(inert, {
      get(target, key) {
        if (key === Symbol.toPrimitive) return (hint) => (hint === "number" ? 0 : "");
        if (key === Symbol.iterator) return none[key].bind(none);
        if (key in target || typeof key === "symbol" || key === "then" || key === "toJSON") return target[key];
        const whole = path === "" ? key : `${path}.${key}`;
        const value = VALUES[`${name}.${whole}`];
        if (value !== undefined) return value;
        if (!parts.has(key)) parts.set(key, standIn(name, whole.slice(-200)));
        return parts.get(key);
      },
      set(target, key, value) {
        Reflect.set(target, key, value);
        return true;
      },
      apply: (_, self, args) => called(name, path, args),
      // Classes of the site may build on it, and keep their own methods.
      construct(_, args, made) {
        mine.get(name).lost = true;
        return path === "AdsLoader" ? adsLoader() : standIn(name, `${path}()`, made.prototype);
      },
    });
  };

  // A video player asks for advertisements and shows its video when it hears
  // that there are none.
  const adsLoader = () => {
    const loader = standIn("google.ima", "()");
    const listeners = [];
    loader.addEventListener = (types, listener) => {
      if ([].concat(types).includes("adError")) listeners.push(listener);
    };
    loader.requestAds = () => {
      const event = { type: "adError", getError: () => standIn("google.ima", "()"), getUserRequestContext: () => null };
      listeners.forEach((listener) => later(listener, event));
    };
    return loader;
  };

  // ---- stand-ins that are pushed to ----------------------------------------

  const queue = (name) => {
    const list = [];
    const push = (...items) => {
      for (const item of items) {
        // Once a vendor has put its own `push` over ours, the list is its own.
        const kept = list.push === push ? taken(name, item) : item;
        if (kept !== undefined && (list.push !== push || list.length < mine.get(name).limit)) list[list.length] = kept;
      }
      return list.length;
    };
    define(list, "push", push);
    // A page that hides itself until the tag manager is there is shown.
    if (/datalayer$/i.test(name)) {
      Object.defineProperty(list, "hide", {
        configurable: true,
        get: () => undefined,
        set: (hiding) => later(() => hiding && isFunction(hiding.end) && hiding.end()),
      });
    }
    return list;
  };

  // What stays of something that is pushed.
  const taken = (name, item) => {
    if (isFunction(item)) {
      if (!RUN.test(name)) return item;
      later(item.bind(standIn(name, "()")));
      return undefined;
    }
    if (typeof item !== "object" || item === null) return item;
    const isArguments = Object.prototype.toString.call(item) === "[object Arguments]";
    if (!isArguments && !Array.isArray(item)) return callBack(name, [item], false)[0];
    const args = Array.from(item);
    const functions = isArguments ? args[0] === "get" : name === "_paq" || args[1] === "hitCallback";
    const rest = callBack(isArguments ? "gtag" : name, args, functions);
    if (rest.every((arg, at) => arg === args[at])) return item;
    // gtag.js tells commands from events by their being `arguments`.
    return isArguments ? (function () { return arguments; })(...rest) : rest;
  };

  // ---- a choice ------------------------------------------------------------

  // Takes a stand-in away, so that the vendor's own code finds the page as if
  // it came first: many of them do nothing where their name is taken.
  const release = (stub) => {
    stub.gone = true;
    if (stub.list) {
      delete stub.list.push;
      delete stub.list.hide;
    } else if (stub.owner[stub.key] === stub.value) {
      delete stub.owner[stub.key];
    }
  };

  // Calls what was kept on the real one, as far as it is there.
  const replay = (stub) => {
    while (stub.calls.length) {
      const { path, args } = stub.calls[0];
      const keys = path === "" ? [] : path.split(".");
      const last = keys.pop();
      let owner = read(stub.name);
      for (const key of keys) owner = owner == null ? owner : owner[key];
      const method = owner == null || last === undefined ? owner : owner[last];
      if (!isFunction(method) || method === stub.value) return false;
      stub.calls.shift();
      try {
        method.apply(last === undefined ? undefined : owner, args);
      } catch (error) {
        later(() => { throw error; });
      }
    }
    return true;
  };

  // Vendors announce themselves in many ways, also by declarations that no
  // setter sees, so we look.
  const look = (tries) => {
    const open = [...mine.values()].filter((stub) => stub.gone && !stub.list && !replay(stub));
    if (open.length && tries > 0) return setTimeout(look, 50, tries - 1);
    open.forEach((stub) => { stub.calls.length = 0; });
    waiting = false;
  };

  document.addEventListener("consentry:choice", (event) => {
    const still = new Set((event.detail && event.detail.stubs) || []);
    const granted = [...mine.values()].filter((stub) => !still.has(stub.name) && !stub.gone);
    // Then only a fresh page can make up for it: whoever revives this one is told.
    if (granted.some((stub) => stub.lost)) return event.preventDefault();
    for (const name of still) {
      const stub = mine.get(name);
      if (!stub) continue;
      // The answer was "no": what was kept is dropped, and nothing more is kept.
      stub.limit = stub.calls.length = 0;
      if (stub.list) stub.list.length = 0;
    }
    granted.forEach(release);
    if (granted.length && !waiting) {
      waiting = true;
      setTimeout(look, 50, 200);
    }
  });

  for (const name of names) {
    const keys = name.split(".");
    const key = keys.pop();
    let owner = window;
    for (const part of keys) {
      if (owner[part] === undefined) define(owner, part, {});
      owner = owner[part];
    }
    if (owner === null || typeof owner !== "object" && !isFunction(owner) || owner[key] !== undefined || mine.has(name)) continue;
    const list = QUEUE.test(name) && !NO_QUEUE.test(name) ? queue(name) : undefined;
    // The page's own description of itself is no call, and nobody is to miss it.
    const value = list || (name === "utag_data" ? {} : standIn(name, ""));
    mine.set(name, { name, owner, key, value, list, calls: [], limit: LIMIT, lost: false, gone: false });
    define(owner, key, value);
  }
}

// What the site's own scripts can ask and do: `window.__consentry`, and bridges to what other
// software on the page asks about consent. See docs/script-api.md.
//
// A choice is a visitor's act. So everything but a "no" to all is refused unless the visitor has just
// clicked or typed on this page, whichever script asks. That keeps honest code honest; it is no wall:
// a script that runs in the page could send the form as well. Who may run is decided elsewhere, and
// what was sent by a script says so on its receipt.
(() => {
  "use strict";
  if (window.__consentry) return;

  const BRIDGES = /*BRIDGES*/[];
  const HOME = /*HOME*/"/.consentry";
  const PURPOSES = ["functional", "analytics", "personalization", "marketing"];
  const listeners = new Set();
  let state = null;

  const ask = (path, options) =>
    fetch(location.origin + HOME + path, { credentials: "same-origin", cache: "no-store", ...options });

  const frozen = (value) => {
    if (typeof value !== "object" || value === null) return value;
    Object.values(value).forEach(frozen);
    return Object.freeze(value);
  };

  // An error in somebody's listener is theirs, and nobody else's listener misses anything.
  const call = (listener, ...values) => {
    try {
      listener(...values);
    } catch (error) {
      setTimeout(() => { throw error; });
    }
  };

  const granted = (name) => state !== null && state.purposes[name] === "granted";
  // What the visitor said here, apart from what holds by other signals or by silence.
  const isChoice = (name) => state !== null && state.sources[name] === "choice";
  const chosen = (name) => granted(name) && isChoice(name);

  // What holds is what the server says: an event that says something else changes nothing.
  const refresh = async () => {
    const answer = await ask("/state");
    if (!answer.ok) throw new Error("consentry: the choice cannot be read now");
    const before = state;
    state = frozen(await answer.json());
    if (before && JSON.stringify(before) !== JSON.stringify(state)) {
      [...listeners].forEach((listener) => call(listener, state));
    }
    return state;
  };

  const hasActed = () => Boolean(navigator.userActivation && navigator.userActivation.isActive);

  const send = async (wanted, by, reload) => {
    const acted = hasActed();
    for (const [name, value] of Object.entries(wanted)) {
      if (!PURPOSES.includes(name)) throw new TypeError(`consentry: there is no purpose "${name}"`);
      if (typeof value !== "boolean") throw new TypeError(`consentry: "${name}" is true or false`);
    }
    // A "yes" is an act of the visitor, and so is a word that leaves something open. Only a clear
    // "no" to everything is taken from a script alone.
    const refusesAll = PURPOSES.every((name) => wanted[name] === false);
    if (!acted && !refusesAll) {
      throw new Error("consentry: only the visitor chooses; call choose() where they click or type");
    }
    await refresh();
    // What stays is what was chosen here: nobody agrees to what another signal or silence granted.
    const names = PURPOSES.filter((name) => (name in wanted ? wanted[name] : chosen(name)));
    const form = new URLSearchParams({ choice: refusesAll ? "none" : "some", by, return_to: "/" });
    names.forEach((name) => form.append("purpose", name));
    // Vendors refused by themselves stay so on the server; those allowed stay so, unless that would
    // outweigh a "no" of now.
    const takesBack = PURPOSES.some((name) => wanted[name] === false);
    if (!takesBack) state.vendors.allowed.forEach((id) => form.append("vendor", "allow:" + id));
    const answer = await ask("/choices", { method: "POST", body: form, redirect: "manual" });
    // A choice that was taken leads to a page.
    if (answer.type !== "opaqueredirect") throw new Error("consentry: the choice was not taken");
    await refresh();
    document.dispatchEvent(new CustomEvent("consentry:change", { detail: state }));
    if (reload) location.reload();
    return state;
  };

  const ready = refresh();
  ready.catch(() => {});

  window.__consentry = Object.freeze({
    version: 1,
    ready,
    state: () => state,
    onChange(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
    choose: (purposes, { reload = true } = {}) => send(Object(purposes), "script", reload),
    open: () => location.assign(location.origin + HOME + "/choices?return_to=" + encodeURIComponent(location.pathname + location.search)),
  });

  // The notice tells of a choice by this event, too.
  document.addEventListener("consentry:change", (event) => {
    if (event.detail !== state) refresh().catch(() => {});
  });

  // ---- Bridges ----

  const onceLoaded = (what) => {
    if (document.readyState === "complete") what();
    else window.addEventListener("load", what);
  };

  // What another tool may hear of a purpose: what the visitor said, here or by a signal that is not
  // that tool's own. Silence is told to nobody, not even where it is taken for a "yes": those tools
  // keep what they hear as somebody's agreement. While a visitor is undecided nothing holds any more.
  const word = (name, own) => {
    const source = state.sources[name];
    if (state.purposes[name] === "undecided") return "undecided";
    if (source === own || source === "region" || source === "silence") return "nothing";
    return state.purposes[name];
  };

  // Tells somebody what was said, when they are there and again when it changes.
  const tells = (isThere, tell) => {
    const say = () => { if (state && isThere()) call(tell); };
    listeners.add(say);
    ready.then(() => (isThere() ? say() : onceLoaded(say)), () => {});
  };

  // Their consent for each of `names`: true, false, or left out where there is nothing to say. One who
  // is undecided is not refused in their name, but an agreement of before, which expired or was
  // deleted, is taken back.
  const toTell = (names, own, holds) => {
    const told = {};
    for (const [theirs, name] of Object.entries(names)) {
      const said = word(name, own);
      if (said === "granted") told[theirs] = true;
      if (said === "denied" || (said === "undecided" && holds(theirs))) told[theirs] = false;
    }
    return told;
  };

  const SHOPIFY = { analytics: "analytics", marketing: "marketing", preferences: "functional", sale_of_data: "marketing" };
  const toShopify = () => {
    const tell = () => {
      const tool = window.Shopify.customerPrivacy;
      const held = tool.currentVisitorConsent ? tool.currentVisitorConsent() : null;
      const told = toTell(SHOPIFY, "shopify", (theirs) => !held || held[theirs] === "yes");
      if (Object.keys(told).length) tool.setTrackingConsent(told, () => {});
    };
    const { Shopify } = window;
    // Nothing is loaded for somebody about whom there is nothing to say.
    const isKnown = Object.values(SHOPIFY).some((name) => ["granted", "denied"].includes(word(name, "shopify")));
    if (Shopify.customerPrivacy) tell();
    else if (isKnown || document.cookie.includes("_tracking_consent=")) Shopify.loadFeatures([{ name: "consent-tracking-api", version: "0.1" }], (error) => { if (!error) tell(); });
  };

  const WORDPRESS = { preferences: "functional", statistics: "analytics", "statistics-anonymous": "analytics", marketing: "marketing" };
  const toWordPress = () => {
    const { wp_has_consent: has } = window;
    const holds = (category) => typeof has !== "function" || has(category);
    for (const [category, yes] of Object.entries(toTell(WORDPRESS, "wp-consent-api", holds))) {
      window.wp_set_consent(category, yes ? "allow" : "deny");
    }
  };

  // The visitor has just chosen in another tool: the same is chosen here, unless it is so already.
  // What such a tool tells without an act of theirs is no choice, not even a refusal.
  const adopt = async (wanted) => {
    if (!hasActed()) return;
    await refresh();
    const names = Object.keys(wanted);
    if (names.every((name) => isChoice(name) && wanted[name] === granted(name))) return;
    await send(wanted, "bridge", true);
  };
  const adopts = (wanted) => { adopt(wanted).catch(() => {}); };

  // The purposes of the Transparency and Consent Framework, as the server reads its cookie: purpose 1,
  // to store and read on the device, gates the others, and "functional" is none of them.
  const fromTcf = (data) => {
    const has = (number) => Boolean(data.purpose && data.purpose.consents && data.purpose.consents[number]);
    return {
      analytics: has(1) && (has(8) || has(9) || has(10)),
      personalization: has(1) && (has(5) || has(6)),
      marketing: has(1) && has(2) && (has(3) || has(4) || has(7)),
    };
  };

  // What we can truly say in that framework's words: no string, which only its tools may make, no
  // vendor, since none was asked about, and no agreement where silence was taken for one.
  const toTcf = (eventStatus, listenerId) => {
    const agreed = (name) => state !== null && word(name) === "granted";
    const storage = PURPOSES.some(agreed);
    const any = { 1: storage, 2: agreed("marketing"), 3: agreed("marketing"), 4: agreed("marketing"),
      5: agreed("personalization"), 6: agreed("personalization"), 7: agreed("marketing"),
      8: agreed("analytics"), 9: agreed("analytics"), 10: agreed("analytics"), 11: agreed("personalization") };
    return {
      tcString: "", tcfPolicyVersion: 0, cmpId: 0, cmpVersion: 0, gdprApplies: true, cmpStatus: "stub",
      eventStatus, listenerId, isServiceSpecific: true, useNonStandardTexts: true, publisherCC: "AA",
      purposeOneTreatment: false, outOfBand: { allowedVendors: {}, disclosedVendors: {} },
      purpose: { consents: any, legitimateInterests: {} }, vendor: { consents: {}, legitimateInterests: {} },
      specialFeatureOptins: {}, publisher: { consents: any, legitimateInterests: {}, customPurpose: { consents: {}, legitimateInterests: {} }, restrictions: {} },
    };
  };

  // Functions in the manner of the IAB's interfaces: a table of commands, some of which listen.
  const answers = (commands, unknown) => (command, ...rest) => {
    if (Object.hasOwn(commands, command)) commands[command](...rest);
    else unknown(...rest);
  };
  const numbered = () => {
    const waiting = new Map();
    let last = 0;
    return { waiting, add: (callback) => { waiting.set(++last, callback); return last; } };
  };

  const ourTcf = () => {
    const { waiting, add } = numbered();
    const now = (callback, eventStatus, id) => ready.then(() => call(callback, toTcf(eventStatus, id), true), () => call(callback, null, false));
    listeners.add(() => waiting.forEach((callback, id) => call(callback, toTcf(state.undecided ? "cmpuishown" : "useractioncomplete", id), true)));
    return answers({
      ping: (_, callback) => call(callback, { gdprApplies: true, cmpLoaded: false, cmpStatus: "stub", displayStatus: "hidden", apiVersion: "2.2", cmpId: 0 }, true),
      getTCData: (_, callback) => now(callback, "tcloaded"),
      addEventListener: (_, callback) => now(callback, state && !state.undecided ? "tcloaded" : "cmpuishown", add(callback)),
      removeEventListener: (_, callback, id) => call(callback, waiting.delete(id)),
    }, (_, callback) => typeof callback === "function" && call(callback, null, false));
  };

  const ourGpp = () => {
    const { waiting, add } = numbered();
    const ping = () => ({ gppVersion: "1.1", cmpStatus: "stub", cmpDisplayStatus: "hidden", signalStatus: "not ready", supportedAPIs: [], cmpId: 0, sectionList: [], applicableSections: [], gppString: "", parsedSections: {}, consentry: state && state.purposes });
    const event = (eventName, listenerId, data) => ({ eventName, listenerId, data, pingData: ping() });
    listeners.add(() => waiting.forEach((callback, id) => call(callback, event("sectionChange", id, ""), true)));
    const none = (value) => (callback) => call(callback, value, true);
    return answers({
      ping: (callback) => call(callback, ping(), true),
      addEventListener: (callback) => { const id = add(callback); call(callback, event("listenerRegistered", id, true), true); },
      removeEventListener: (callback, id) => call(callback, waiting.delete(id), true),
      hasSection: none(false), getSection: none(null), getField: none(null),
    }, (callback) => typeof callback === "function" && call(callback, null, false));
  };

  // One that comes later takes ours away by being assigned.
  const standIn = (name, make) => onceLoaded(() => {
    if (typeof window[name] !== "function") window[name] = make();
  });

  const USERCENTRICS = { marketing: "marketing", advertising: "marketing", functional: "functional", preferences: "functional", statistics: "analytics", analytics: "analytics", performance: "analytics", personalization: "personalization" };
  const fromUsercentrics = () => {
    const services = window.UC_UI && window.UC_UI.getServicesBaseInfo ? window.UC_UI.getServicesBaseInfo() : [];
    const wanted = {};
    for (const { categorySlug, consent } of services) {
      const name = USERCENTRICS[categorySlug];
      const yes = Boolean(consent && consent.status);
      // A purpose is granted when everybody who has it is.
      if (name) wanted[name] = yes && wanted[name] !== false;
    }
    // Who was not asked about a purpose has not agreed to it.
    return Object.fromEntries(PURPOSES.map((name) => [name, wanted[name] === true]));
  };

  const bridges = {
    shopify: () => tells(() => window.Shopify && (window.Shopify.customerPrivacy || window.Shopify.loadFeatures), toShopify),
    wordpress() {
      if (!window.wp_consent_type) window.wp_consent_type = "optin";
      document.dispatchEvent(new CustomEvent("wp_consent_type_defined"));
      tells(() => typeof window.wp_set_consent === "function", toWordPress);
    },
    tcf() {
      if (typeof window.__tcfapi !== "function") return standIn("__tcfapi", ourTcf);
      window.__tcfapi("addEventListener", 2, (data, ok) => {
        if (ok && data && data.eventStatus === "useractioncomplete") adopts(fromTcf(data));
      });
    },
    gpp: () => standIn("__gpp", ourGpp),
    usercentrics: () => window.addEventListener("UC_UI_CMP_EVENT", (event) => {
      const type = event.detail && event.detail.type;
      if (["ACCEPT_ALL", "DENY_ALL", "SAVE"].includes(type)) adopts(fromUsercentrics());
    }),
  };
  BRIDGES.forEach((name) => call(bridges[name]));
})();

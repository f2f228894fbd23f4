// Tells Google's tags what the visitor agreed to, in the words of Google Consent Mode v2, before
// any of them runs: the `default` for tags that start, and at once the `update` that outweighs what
// the page itself may say later. Who it tells more than that are the tags alone: nothing is asked for
// and nothing kept.
//
// A change without a new page is told by the event `consentry:change`. Anybody can send that event,
// and can as well write into `dataLayer` themselves; whether a request leaves is decided elsewhere.
(() => {
  "use strict";

  const script = document.currentScript;
  const signals = JSON.parse(script.getAttribute("data-consentry-google"));
  script.remove();

  // gtag.js tells commands from events by their being `arguments`.
  function tell() {
    (window.dataLayer = window.dataLayer || []).push(arguments);
  }

  tell("consent", "default", signals);
  tell("consent", "update", signals);
  document.addEventListener("consentry:change", (event) => {
    const now = event.detail && event.detail.google;
    if (now) tell("consent", "update", now);
  });
})();

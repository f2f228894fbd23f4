// Sends the notice's form without leaving the page, and brings the page up to
// date. Whatever goes wrong, the form is sent as it would be without this file.
//
// It stands beside the link to the choices, too: a browser that goes back shows a
// page as it was left, with all that runs in it, whatever was chosen in between.
{
  const script = document.currentScript;
  const before = script && script.getAttribute("data-consentry-for");
  // The notice is in the body's shadow tree, or at the end of the page.
  const find = (root) => root && root.querySelector("#csy-ask");
  // A browser that does not know shadow trees in HTML left it packed up.
  const packed = document.getElementById("csy-home");
  if (packed && packed.content) document.body.append(...packed.content.querySelectorAll("style, section"));
  const notice = find(document.body.shadowRoot) || find(document);
  const form = notice && notice.querySelector("form");
  // What the page is for, as the server says it in `state`.
  let made = { made_for: before, undecided: Boolean(notice) };
  const ask = (home) => fetch(home + "state", { credentials: "same-origin", cache: "no-store" }).then((answer) => answer.json());

  addEventListener("pageshow", async (event) => {
    if (!event.persisted || !before) return;
    // Who cannot be asked may have taken something back.
    const now = await ask(new URL(".", script.src)).catch(() => ({}));
    if (now.made_for !== made.made_for || now.undecided !== made.undecided) location.reload();
  });

  // A page that came with a policy of ours or with the guard, which has no way in
  // from outside, can load no more than they were told, whatever is agreed to
  // later: a "yes" needs another page.
  const closed = script && (script.hasAttribute("data-consentry-closed") || Symbol.for("consentry") in window);

  const choose = async (event) => {
    const button = event.submitter;
    if (!button || (closed && button.value !== "none")) return;
    event.preventDefault();
    if (notice.inert) return;
    notice.inert = true;
    const fields = new URLSearchParams(new FormData(form));
    fields.append(button.name, button.value);
    // A choice that was taken leads back to the page; there is no need to go.
    const taken = await fetch(form.action, { method: "POST", body: fields, redirect: "manual", credentials: "same-origin" })
      .then((answer) => answer.type === "opaqueredirect", () => false);
    if (taken) {
      const style = notice.previousElementSibling;
      if (style && style.localName === "style") style.remove();
      notice.remove();
      // Whoever acts on a choice without a new page hears of it: Google's tags, the script API.
      const state = await ask(form.action.replace(/choices$/, "")).catch(() => null);
      made = state || {};
      if (state) document.dispatchEvent(new CustomEvent("consentry:change", { detail: state }));
      await revive(before);
    } else {
      notice.inert = false;
      form.removeEventListener("submit", choose);
      form.requestSubmit(button);
    }
  };

  if (form && before && window.SubmitEvent && form.requestSubmit) form.addEventListener("submit", choose);
}

// Sends the notice's form without leaving the page, and brings the page up to
// date. Whatever goes wrong, the form is sent as it would be without this file.
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
      const state = await fetch(form.action.replace(/choices$/, "state"), { credentials: "same-origin", cache: "no-store" })
        .then((answer) => answer.json()).catch(() => null);
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

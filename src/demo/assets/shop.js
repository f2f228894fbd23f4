// The shop's own script. The shop works without it.
(function () {
  "use strict";

  var cookie = document.cookie.match(/(?:^|; )cart=([^;]*)/);
  var cart = cookie && cookie[1] !== "none" ? cookie[1].split(".") : [];
  document.querySelectorAll("[data-cart-count]").forEach(function (count) {
    count.textContent = cart.length;
    count.classList.toggle("filled", cart.length > 0);
  });

  document.querySelectorAll('form[action="/cart"]').forEach(function (form) {
    form.addEventListener("submit", function (event) {
      var tea = event.submitter && event.submitter.value;
      window.gtag && gtag("event", "add_to_cart", { items: [{ item_id: tea }] });
    });
  });
})();

"use strict";
(function () {
  var own = document.currentScript;
  if (own) { own.remove(); }
})();

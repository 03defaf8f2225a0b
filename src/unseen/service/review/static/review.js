"use strict";
/* Keys for what the page has as buttons and links, and focus that stays where one reads. */
(function () {
  const help = document.getElementById("help"), on = document.getElementById("keys-on");
  const work = () => document.getElementById("work");
  const moves = { ArrowDown: "j", ArrowUp: "k" };
  const typing = (element) => element.closest && element.closest("input:not([type=checkbox]), textarea, select");
  if (on) {
    on.checked = localStorage.getItem("keys") !== "off";
    on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
  }
  document.querySelectorAll("[data-help]").forEach((each) => each.addEventListener("click", () => help.showModal()));
  document.addEventListener("keydown", (event) => {
    if (!work() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "?") { event.preventDefault(); help.showModal(); return; }
    if (!on.checked || event.repeat && !(event.key in moves)) return;
    const key = moves[event.key] || event.key;
    const named = Array.from(work().querySelectorAll("[data-key], [data-focus]"));
    const found = named.find((each) => each.dataset.key === key || each.dataset.focus === key);
    if (!found) return;
    event.preventDefault();
    if (found.dataset.focus) found.focus(); else found.click();
  });
  /* What is typed, or read in the help, is not swapped away. */
  document.addEventListener("htmx:beforeRequest", (event) => {
    const name = document.getElementById("kind");
    const busy = help && help.open || name && (name === document.activeElement || name.value);
    if (event.target.hasAttribute("data-poll") && (busy || document.querySelector("#work .htmx-request"))) event.preventDefault();
  });
  let mine = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const answer = event.detail.xhr;
    const html = (answer.getResponseHeader("Content-Type") || "").startsWith("text/html");
    mine = event.detail.target.id === "work" && !event.detail.requestConfig.elt.hasAttribute("data-poll");
    if (answer.status !== 204 && !html) {
      event.detail.shouldSwap = false;
      tell("Not done: the service answered " + answer.status + ". Nothing was saved; try again in a moment.");
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!mine || event.detail.target.id !== "work") return;
    mine = false;
    const title = document.getElementById("title");
    if (title) title.focus();
  });
  document.addEventListener("htmx:sendError", () => tell("Not done: the service cannot be reached. Nothing was saved; try again in a moment."));
  function tell(text) { document.getElementById("told").textContent = text; }
})();

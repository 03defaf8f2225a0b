"use strict";
/* Keys for what the page has as buttons and links, and focus that stays where one reads. */
(function () {
  const help = document.getElementById("help"), on = document.getElementById("keys-on");
  const work = () => document.getElementById("work");
  const arrows = { ArrowDown: "j", ArrowUp: "k" };
  const typing = (element) => element.closest && element.closest("input:not([type=checkbox]), textarea, select");
  const polls = (element) => element.hasAttribute("data-poll");
  let busy = false, deaf = 0, moves = [];

  if (on) {
    on.checked = localStorage.getItem("keys") !== "off";
    on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
  }
  document.querySelectorAll("[data-help]").forEach((each) => each.addEventListener("click", () => help.showModal()));

  /* Nobody answers an alert that is not shown yet: keys that come too early are not taken. */
  function early(key) {
    const late = performance.now();
    if (busy && (key === "j" || key === "k")) { moves.push(key); return true; }
    if (!busy && late > deaf) return false;
    deaf = late + 700;
    return true;
  }
  function act(key) {
    const named = Array.from(work().querySelectorAll("[data-key], [data-focus]"));
    const found = named.find((each) => each.dataset.key === key || each.dataset.focus === key);
    if (found && found.dataset.focus) found.focus(); else if (found) found.click();
  }
  document.addEventListener("keydown", (event) => {
    if (!work() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = arrows[event.key] || event.key;
    if (key === "?") { event.preventDefault(); help.showModal(); return; }
    if (!on.checked || !/^[jknwudz1-9]$/.test(key) || event.repeat && key !== "j" && key !== "k") return;
    event.preventDefault();
    if (!early(key)) act(key);
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    const name = document.getElementById("kind");
    /* What is typed, or read in the help, is not swapped away. */
    const held = busy || help && help.open || name && (name === document.activeElement || name.value);
    if (!polls(event.target)) busy = true; else if (held) event.preventDefault();
  });
  let mine = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const answer = event.detail.xhr;
    const html = (answer.getResponseHeader("Content-Type") || "").startsWith("text/html");
    const asked = event.detail.requestConfig.elt;
    mine = !polls(asked);
    /* What was asked before somebody answered here is old when it comes. */
    if (polls(asked) && busy) event.detail.shouldSwap = false;
    if (answer.status !== 204 && !html) {
      event.detail.shouldSwap = false;
      tell("Not done: the service answered " + answer.status + ". Nothing was saved; try again in a moment.");
    }
  });
  function free() {
    busy = false;
    if (moves.length) act(moves.shift());
  }
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!mine || !work()) return;
    mine = false;
    const title = document.getElementById("title");
    if (title && event.detail.target.id === "work") title.focus();
    if (performance.now() < deaf) {
      const told = document.getElementById("told");
      told.textContent = (told.textContent + " Keys that came too early were not taken: look at the alert first.").trim();
    }
    free();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.failed && !polls(event.target)) free();
  });
  document.addEventListener("htmx:sendError", () => tell("Not done: the service cannot be reached. Nothing was saved; try again in a moment."));
  function tell(text) { document.getElementById("told").textContent = text; }
})();

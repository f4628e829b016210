// Inside the widget's frame: what is asked is sent without a new page, and what is answered comes by itself. Its forms
// work without it.
"use strict";

(() => {
  const widget = document.getElementById("widget");
  const key = document.querySelector("[name=key]").value;
  const shelf = `tenfold ${key}`;
  let timer = 0;
  let sending = false;

  const close = document.querySelector("[data-close]");
  if (window.parent !== window) {
    close.hidden = false;
    close.addEventListener("click", () => window.parent.postMessage("tenfold:close", "*"));
    addEventListener("keydown", (event) => { if (event.key === "Escape") close.click(); });
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-send]")) return;
    event.preventDefault();
    const fields = new URLSearchParams(new FormData(event.target));
    if (event.submitter && event.submitter.name) fields.set(event.submitter.name, event.submitter.value);
    send(fields);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "question" || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });

  const kept = load();
  if (kept && !widget.dataset.ticket) look(kept);
  else wait();

  async function send(fields) {
    if (sending) return;
    sending = true;
    clearTimeout(timer);
    document.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = true; });
    try {
      const response = await fetch("/widget", { method: "POST", body: fields, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("widget");
      if (!fresh) throw new Error("not ours");
      if (fields.get("do") === "look" && response.status === 404) { keep("", ""); return; }
      show(fresh, fields.get("do") === "ask" && response.ok);
    } catch (error) {
      if (fields.get("do") !== "look") tell("That could not be sent. Please try again.");
    } finally {
      sending = false;
      document.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = false; });
      wait();
    }
  }

  // Of what was said only what is new is put in, so that it alone is read out.
  function show(fresh, asked) {
    keep(fresh.dataset.ticket, fresh.dataset.token);
    widget.dataset.wait = fresh.dataset.wait;
    const list = document.querySelector("#said ol");
    list.querySelectorAll(".waits").forEach((each) => each.remove());
    let last = null;
    for (const each of fresh.querySelectorAll("#said > ol > li")) {
      const known = each.id && document.getElementById(each.id);
      if (!known) { list.append(each); last = each; } else if (known.innerHTML !== each.innerHTML) known.replaceChildren(...each.childNodes);
    }
    const hint = widget.querySelector(":scope > .hint");
    if (hint && list.childElementCount) hint.remove();
    document.getElementById("acts").replaceChildren(...fresh.querySelector("#acts").childNodes);
    if (asked) {
      document.getElementById("ask").replaceChildren(...fresh.querySelector("#ask").childNodes);
      document.getElementById("question").focus();
    } else {
      for (const name of ["ticket", "token"]) document.querySelector(`#ask [name=${name}]`).value = fresh.dataset[name];
    }
    if (last) last.scrollIntoView({ block: "nearest" });
  }

  function tell(text) {
    const told = document.createElement("p");
    told.className = "wrong box";
    told.setAttribute("role", "alert");
    told.textContent = text;
    document.getElementById("acts").prepend(told);
  }

  function wait() {
    clearTimeout(timer);
    const pause = Number(widget.dataset.wait);
    if (pause) timer = setTimeout(() => look({ ticket: widget.dataset.ticket, token: widget.dataset.token }), pause);
  }

  function look({ ticket, token }) {
    send(new URLSearchParams({ key, ticket, token, do: "look" }));
  }

  function keep(ticket, token) {
    Object.assign(widget.dataset, { ticket, token });
    try {
      if (ticket) sessionStorage.setItem(shelf, JSON.stringify({ ticket, token })); else sessionStorage.removeItem(shelf);
    } catch (error) { /* the browser keeps nothing for frames: it is known until the page is left */ }
  }

  function load() {
    try { return JSON.parse(sessionStorage.getItem(shelf)); } catch (error) { return null; }
  }
})();

// What pages do on top where scripts run: the answer streams in, and code can be copied. Everything works without it.
"use strict";

(() => {
  const status = document.querySelector("[data-status]");
  const answer = document.querySelector("[data-answer]");

  for (const form of document.querySelectorAll("form[data-ask]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(form, event.submitter);
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    if (!navigator.clipboard || !source) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  for (const form of document.querySelectorAll("form[data-upload]")) {
    form.addEventListener("submit", (event) => {
      const files = [...form.querySelector("[type=file]").files];
      const wrong = form.querySelector("[data-upload-error]");
      const size = files.reduce((sum, file) => sum + file.size, 0);
      if (size > Number(form.dataset.upload)) {
        event.preventDefault();
        wrong.textContent = "These files are too large to be sent at once. Send fewer, or smaller ones.";
        wrong.hidden = false;
        return;
      }
      form.querySelector("button").disabled = true;
      form.querySelector("button").textContent = "Uploading…";
    });
  }

  for (const part of document.querySelectorAll("[data-refresh]")) refresh(part);

  // A part of the page is taken anew from the server until it no longer asks for that.
  function refresh(part) {
    const wait = Number(part.dataset.refresh);
    if (!wait) return;
    setTimeout(async () => {
      try {
        const response = await fetch(location.href, { headers: { Accept: "text/html" } });
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const fresh = page.getElementById(part.id);
        if (response.ok && fresh && !part.contains(document.activeElement)) {
          part.replaceWith(fresh);
          refresh(fresh);
          return;
        }
      } catch (error) { /* it is asked again */ }
      refresh(part);
    }, wait);
  }

  async function ask(form, submitter) {
    const fields = new URLSearchParams(new FormData(form));
    if (submitter && submitter.name) {
      fields.set(submitter.name, submitter.value);
      const box = document.getElementById("question");
      if (submitter.name === "question" && box) box.value = submitter.value;
    }
    const buttons = document.querySelectorAll("form[data-ask] button");
    buttons.forEach((button) => { button.disabled = true; });
    answer.setAttribute("aria-busy", "true");
    answer.replaceChildren();
    status.textContent = "Searching the documents…";
    try {
      await stream(form.dataset.ask, fields);
    } catch (error) {
      status.textContent = "The connection was lost before the answer was complete. Please ask again.";
    } finally {
      answer.removeAttribute("aria-busy");
      buttons.forEach((button) => { button.disabled = false; });
    }
  }

  async function stream(url, fields) {
    const response = await fetch(url, { method: "POST", body: fields, headers: { Accept: "text/event-stream" } });
    if (!response.ok) {
      if (response.status === 401) { location.assign("/login"); return; }
      const problem = await response.json().catch(() => ({}));
      status.textContent = problem.detail || "That did not work. Please try again.";
      return;
    }
    const text = document.createElement("p");
    text.className = "text streaming";
    let ended = false;
    for await (const { name, data } of events(response.body)) {
      if (name === "delta") {
        if (!text.isConnected) {
          const card = document.createElement("article");
          card.className = "card";
          card.append(text);
          answer.replaceChildren(card);
          status.textContent = "Answering…";
        }
        text.append(data.text);
      } else if (name === "end") {
        ended = true;
        const page = new DOMParser().parseFromString(data.html, "text/html");
        answer.replaceChildren(...page.body.childNodes);
        status.textContent = "";
      }
    }
    if (!ended) throw new Error("cut");
  }

  // Server-sent events from a body, as {name, data}.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n");
        const name = lines.find((line) => line.startsWith("event: "));
        const data = lines.find((line) => line.startsWith("data: "));
        if (name && data) yield { name: name.slice(7), data: JSON.parse(data.slice(6)) };
      }
    }
  }
})();

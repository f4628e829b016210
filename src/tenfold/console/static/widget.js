// Tenfold's support widget, for any page: <script src="https://your-tenfold/widget.js" data-key="tf_..." async></script>
// It adds a button, and a frame once that is pressed. No inline style, no eval, no cookie: a page's content security
// policy needs this host in `script-src` and `frame-src`, and nothing else.
"use strict";

(() => {
  const script = document.currentScript;
  const { key, label = "Help", side = "right" } = script ? script.dataset : {};
  if (!key) { console.error("Tenfold: the script tag of the widget needs data-key."); return; }
  if (document.querySelector("tenfold-widget")) return;

  const address = new URL("widget", script.src);
  address.searchParams.set("key", key);
  const styles = new CSSStyleSheet();
  styles.replaceSync(`
    :host { all: initial; position: fixed; bottom: 16px; ${side === "left" ? "left" : "right"}: 16px; z-index: 2147483000;
      font: 16px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
    button { all: unset; box-sizing: border-box; display: block; margin-left: ${side === "left" ? "0" : "auto"}; cursor: pointer;
      padding: 12px 20px; border-radius: 999px; background: #0f766e; color: #fff; font-weight: 600;
      box-shadow: 0 2px 10px rgba(0, 0, 0, .25); }
    button:hover { background: #0b5b55; }
    button:focus-visible { outline: 3px solid #fff; outline-offset: -5px; box-shadow: 0 0 0 3px #0f766e; }
    div { margin-bottom: 12px; width: min(400px, calc(100vw - 32px)); height: min(620px, calc(100vh - 100px));
      border-radius: 14px; overflow: hidden; background: #f7f8f8; box-shadow: 0 6px 30px rgba(0, 0, 0, .3); }
    div[hidden] { display: none; }
    iframe { width: 100%; height: 100%; border: 0; display: block; }`);

  const host = document.createElement("tenfold-widget");
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [styles];
  const panel = document.createElement("div");
  panel.id = "panel";
  panel.hidden = true;
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-label", label);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", "panel");
  root.append(panel, button);

  let frame = null;
  function show(open) {
    if (open && !frame) {
      frame = document.createElement("iframe");
      frame.title = label;
      frame.src = address.href;
      panel.append(frame);
    }
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) frame.focus(); else button.focus();
  }

  button.addEventListener("click", () => show(panel.hidden));
  host.addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) show(false); });
  addEventListener("message", (event) => {
    if (frame && event.source === frame.contentWindow && event.origin === address.origin && event.data === "tenfold:close") show(false);
  });

  const add = () => document.body.append(host);
  if (document.body) add(); else addEventListener("DOMContentLoaded", add);
})();

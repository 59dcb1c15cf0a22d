"use strict";
{
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Theme: the system's until the reader chooses.
  const toggle = document.querySelector(".theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  toggle.hidden = false;
  name();
  system.addEventListener("change", name);
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("normwise-theme", root.dataset.theme); } catch {}
    name();
  });

  // A variant pointed at, or pinned in the legend, stands out in every figure.
  const buttons = all(".legend button");
  let pinned = null;
  // Where a page has several scopes, variants of the same place in each have nothing in common.
  let scope = root;
  const show = (variant, within = root) => {
    scope.classList.remove("focused");
    scope = within;
    scope.classList.toggle("focused", variant !== null);
    for (const mark of scope.querySelectorAll("[data-variant]")) {
      mark.classList.toggle("lit", mark.dataset.variant === variant);
    }
  };
  document.addEventListener("pointerover", (event) => {
    const variant = event.target.closest("[data-variant]")?.dataset.variant ?? pinned;
    show(variant, event.target.closest("[data-scope]") ?? root);
  });
  for (const button of buttons) {
    button.disabled = false;
    button.addEventListener("click", () => {
      pinned = pinned === button.dataset.variant ? null : button.dataset.variant;
      for (const other of buttons) other.setAttribute("aria-pressed", other.dataset.variant === pinned);
      show(pinned);
    });
  }

  // The table sorts by the column clicked: upwards, downwards, then as it was.
  const headings = all("th[data-sort]");
  const body = document.querySelector(".results tbody");
  const sort = (key, direction) => {
    const value = (row) => {
      if (!direction) return Number(row.dataset.order);
      if (key === "variant") return row.querySelector("th .name").textContent;
      const number = row.getAttribute(`data-${key}`);
      return number === null ? Infinity : direction * Number(number);
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (typeof x === "string") return direction * x.localeCompare(y);
      return x < y ? -1 : x > y ? 1 : 0;
    });
    body.append(...rows);
  };
  const next = { none: "ascending", ascending: "descending", descending: "none" };
  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const order = next[heading.getAttribute("aria-sort") ?? "none"];
      for (const other of headings) other.removeAttribute("aria-sort");
      if (order !== "none") heading.setAttribute("aria-sort", order);
      sort(heading.dataset.sort, { ascending: 1, descending: -1, none: 0 }[order]);
    });
  }

  // Folded parts are printed too.
  addEventListener("beforeprint", () => { for (const part of all("details")) part.open = true; });
}

// What the theme lacks for people who use a keyboard or a screen reader.

// Code and tables that are wider than the page scroll.
for (const box of document.querySelectorAll(".highlight pre, .table-wrapper")) {
  box.tabIndex = 0;
}

for (const [selector, name] of [[".sidebar-drawer", "Site"], [".toc-drawer", "On this page"]]) {
  document.querySelector(selector)?.setAttribute("aria-label", name);
}

// The two menus of a narrow page are labels of hidden checkboxes, which no key reaches.
for (const label of document.querySelectorAll(".nav-overlay-icon, .toc-overlay-icon")) {
  const box = document.getElementById(label.htmlFor);
  const button = document.createElement("button");
  button.className = label.className;
  button.setAttribute("aria-label", box.getAttribute("aria-label"));
  button.append(...label.childNodes);
  button.addEventListener("click", () => {
    box.checked = true;
    document.querySelector(box.id === "__toc" ? ".toc-drawer a" : ".sidebar-search")?.focus();
  });
  label.replaceWith(button);
}

// The words of the search that the page shows.
const words = document.getElementById("words");
if (words) words.value = new URLSearchParams(location.search).get("q") ?? "";

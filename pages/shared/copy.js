// Copies a text for a button, and says so on it.

const SAID_MS = 2000;

// `read` returns the text; `element` is selected for copying by hand where a page may not copy.
export function copyOnClick(button, read, element) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    clearTimeout(timer);
    button.textContent = (await copy(read(), element)) ? "Copied" : "Press Ctrl+C or ⌘C";
    timer = setTimeout(() => (button.textContent = label), SAID_MS);
  });
}

async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS, or without leave.
    if (element) getSelection().selectAllChildren(element);
    return false;
  }
}

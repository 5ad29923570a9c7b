// Shows in the menu and on the front page only what this hub serves.

const answer = await fetch("/settings.json").catch(() => null);
if (answer?.ok) {
  const { pages } = await answer.json();
  for (const page of ["chat", "scores", "debugger", "diagnose"]) {
    if (pages.includes(page)) continue;
    for (const link of document.querySelectorAll(`a[href^="/${page}/"]`)) {
      (link.closest("li") ?? link).hidden = true;
    }
  }
}

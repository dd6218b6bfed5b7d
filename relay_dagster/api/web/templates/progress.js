"use strict";
// Shows how far the run is; without it the page has a link that does.
const look = async () => {
  try {
    const answer = await fetch(location.href);
    if (answer.status >= 429) return; // too many requests, or a fault that passes
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.getElementById("progress");
    if (!now) return location.reload();
    const shown = document.getElementById("progress");
    if (shown.textContent !== now.textContent) shown.replaceChildren(...now.childNodes);
  } finally {
    setTimeout(look, 2000);
  }
};
setTimeout(look, 2000);

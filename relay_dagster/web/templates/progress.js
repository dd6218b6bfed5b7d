"use strict";
// Updates the progress of a run. Without scripts, the page has a link that reloads it.
const refresh = async () => {
  try {
    const response = await fetch(location.href);
    if (response.status >= 429) return; // too many requests, or a temporary failure
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const latest = page.getElementById("progress");
    if (!latest) return location.reload();
    const current = document.getElementById("progress");
    if (current.textContent !== latest.textContent) {
      current.replaceChildren(...latest.childNodes);
    }
  } finally {
    setTimeout(refresh, 2000);
  }
};
setTimeout(refresh, 2000);
